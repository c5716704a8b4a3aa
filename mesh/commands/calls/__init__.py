"""Commands that call services by their contracts."""
