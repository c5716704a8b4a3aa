"""From a checkout, `python cli.py up` is `mesh up`."""

from mesh.commands import main

if __name__ == "__main__":
    main()
