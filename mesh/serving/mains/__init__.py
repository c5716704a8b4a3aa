"""Servers of a service's own program: they hold its handlers and applications, and the listeners serve them."""
