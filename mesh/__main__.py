"""`python -m mesh` is `mesh`."""

from mesh.commands import main

if __name__ == "__main__":
    main()
