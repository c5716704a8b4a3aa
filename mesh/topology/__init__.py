"""Declared topologies: frozen descriptions, and the code that reads them."""
