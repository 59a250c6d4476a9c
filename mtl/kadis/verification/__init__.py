"""Checks of a data set: files, records, split, scores."""
