"""Commands that read what was recorded, in this run and in earlier ones."""
