"""Packages of a service's own virtual environment, other versions than other services' and mesh's own."""
