"""A running service: as a thread, as a command, or as a separate Python process."""
