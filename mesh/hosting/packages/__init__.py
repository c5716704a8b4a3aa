"""The packages that services require, and the environments that `mesh install` makes for them."""
