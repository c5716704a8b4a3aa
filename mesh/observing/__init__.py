"""What happened: one bounded record, and its readings."""
