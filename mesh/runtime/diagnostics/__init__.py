"""Reports what blocks the process, and where."""
