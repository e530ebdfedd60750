"""The chaos suite: hostile faults against real servers, each with its figure.

`make chaos` runs it long on each database and rewrites the tables of docs/reliability.md;
`make chaos ARGS=--short` is the form for CI. One test by hand: `CHAOS=short pytest tests/chaos -k stop`.
"""
