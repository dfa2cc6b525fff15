"""The project's definitions, one folder each."""
