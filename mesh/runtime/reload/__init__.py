"""From a changed file to the services that have to load their code again."""
