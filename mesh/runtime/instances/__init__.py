"""One service alive: as a thread, as a command, or as a Python process of its own."""
