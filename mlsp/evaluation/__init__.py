"""Benchmarks of regressors on rated pictures: measures, splits, results."""

from mlsp.evaluation.benchmarking import benchmark

__all__ = ["benchmark"]
