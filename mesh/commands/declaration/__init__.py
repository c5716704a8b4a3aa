"""Commands that read and write mesh.toml."""
