"""Look in and steer."""
