"""Methods without deep features, to compare with."""
