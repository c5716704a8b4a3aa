"""Records calls that services make with their own clients, and continues the trace of the current call in them."""
