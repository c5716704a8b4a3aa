"""A service's own program: executed as `__main__` in a thread, with servers and waits that mesh controls."""
