"""What does run: instances, and the supervisor that owns them."""
