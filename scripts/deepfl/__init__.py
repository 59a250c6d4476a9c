"""The deepfl program and its public names."""
