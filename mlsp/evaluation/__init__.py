"""Benchmarks of regressors on rated pictures: measures, splits, results."""
