"""Serves gRPC methods, synchronous and asynchronous: the servers, and the layers around each call."""
