"""`mesh init`: drafts a mesh.toml from the contents of a folder."""
