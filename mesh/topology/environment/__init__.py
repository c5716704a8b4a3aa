"""Environment variables as Compose has them: `${NAME:-default}` in values, and files of variables."""
