"""Decoding of picture files, and the checks that find damaged ones."""
