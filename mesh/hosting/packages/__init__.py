"""What packages services require, and the environments that `mesh install` makes of them."""
