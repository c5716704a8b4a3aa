"""From changed files to the services that must reload."""
