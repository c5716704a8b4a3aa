"""Calls in: the listeners of a service, over HTTP and over gRPC."""
