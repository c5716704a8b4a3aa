"""Reads Compose files and Dockerfiles, as far as they say what runs, where, and with which variables."""
