"""What happened: one bounded journal, and its readers."""
