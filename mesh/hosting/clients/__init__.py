"""Records calls of services' own clients, continues the trace of the current call in them, and redirects hosts."""
