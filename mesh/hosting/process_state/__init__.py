"""State that a process has once, as each service sees it: environment, folder, output, logging, registries."""
