"""The example that ships with mesh: gateway, user, product and order services.

Written with mesh's public names only; mesh imports it in one place, for the default topology.
"""
