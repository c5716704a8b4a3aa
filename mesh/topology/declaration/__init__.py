"""mesh.toml: read, checked, and every mistake reported at once."""
