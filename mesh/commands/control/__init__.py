"""Commands that look at a running mesh and control it."""
