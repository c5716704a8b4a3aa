"""Says who holds up the process, and where."""
