"""Serves an ASGI application over HTTP: uvicorn, guarded, and the layers around each request."""
