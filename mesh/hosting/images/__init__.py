"""Runs images of a Compose file: by docker or podman, or by the program itself where it is installed."""
