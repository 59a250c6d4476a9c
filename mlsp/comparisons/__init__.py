"""Comparisons on rated pictures: learning schemes, training tasks, networks."""
