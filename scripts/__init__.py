"""The `deepfl` program: one thin module per command."""
