"""Inspecting and controlling a running mesh from other processes."""
