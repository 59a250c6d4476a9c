"""Networks, their heads, and their weights on disk."""
