"""Records what happened: one bounded journal, and its readers."""
