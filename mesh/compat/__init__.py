"""Private parts of libraries that mesh relies on, one module a library; tests/compat says what each relies on."""
