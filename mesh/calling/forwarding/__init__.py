"""Forwards whole HTTP requests and WebSockets: to other services, and to the servers that a program makes itself."""
