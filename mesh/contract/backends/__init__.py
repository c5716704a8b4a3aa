"""Implementations behind a method: a servicer in this process, or a channel."""
