"""What does run: units, and the supervisor that owns them."""
