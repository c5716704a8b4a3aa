"""Calls that services make with clients of their own, recorded and carried on in the trace of the call they answer."""
