"""MLSP features: the blocks of a network, pooled, for pictures of any size."""

from mlsp.features.extraction import extract

__all__ = ["extract"]
