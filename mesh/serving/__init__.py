"""Incoming calls: the listeners of a service, over HTTP and gRPC."""
