"""How processes are started, and ended with everything that they have started."""
