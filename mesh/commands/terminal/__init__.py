"""Terminal output: lines, the printer that writes them, and the streams."""
