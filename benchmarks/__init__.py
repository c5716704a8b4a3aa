"""Measures how fast mesh is: `python -m benchmarks`, or `make bench`, prints one table.

Each row is a ratio of two things that were measured in turn, in one run, as medians. A family of rows is a module with
a function `rows(effort)` that yields them; to add one, write it and name it in __main__.py.
"""
