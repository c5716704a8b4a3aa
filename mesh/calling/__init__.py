"""Calls out: gRPC first, then HTTP."""
