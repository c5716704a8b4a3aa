"""Outgoing calls: gRPC first, then HTTP."""
