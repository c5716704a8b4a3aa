"""Foreign code as a good neighbour."""
