"""A contract over HTTP: requests to messages, messages to responses."""
