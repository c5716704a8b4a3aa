"""Finds the services that must reload after files have changed."""
