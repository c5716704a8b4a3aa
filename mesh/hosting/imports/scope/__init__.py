"""The modules that a service sees: which are its own, which are shared, and where they are searched."""
