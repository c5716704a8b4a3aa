"""mesh.toml: reading it, checking it, and reporting every mistake at once."""
