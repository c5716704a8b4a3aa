"""Calls in: servers on real ports, each serving what a Swap points at."""
