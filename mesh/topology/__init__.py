"""What should run: frozen descriptions, and how they are read."""
