"""Which modules the next generation of a service's code takes over as they are."""
