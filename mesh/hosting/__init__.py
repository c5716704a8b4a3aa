"""Isolates services that share a process."""
