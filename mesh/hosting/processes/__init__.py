"""Handles what a service does to processes: forks, child processes, exits and signals."""
