"""What the terminal shows, and how it gets there."""
