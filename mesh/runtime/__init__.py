"""A running topology: its instances, and the supervisor that owns them."""
