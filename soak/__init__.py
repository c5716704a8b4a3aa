"""Runs mesh for minutes under load, edits and kills, and prints what came of it: `make soak`."""
