"""Private parts of libraries that mesh relies on, one module per library, each with a test in tests/compat."""
