"""`mesh init`: a mesh.toml drafted from what a folder holds."""
