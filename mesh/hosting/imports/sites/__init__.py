"""Packages of a service's virtual environment; their versions may differ from those of other services and of mesh."""
