"""One generation of a service's code, from import to its last call."""
