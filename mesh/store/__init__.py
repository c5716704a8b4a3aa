"""The guest that ships with mesh: gateway, user, product and order services.

Written with mesh's public words only; nothing in mesh imports it but the line that says what runs by default.
"""
