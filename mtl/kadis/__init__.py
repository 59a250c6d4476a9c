"""KADIS data sets: pristine crops, recipes, distorted versions, scores and shards."""

from mtl.kadis.generate import Summary, generate
from mtl.kadis.plan import GenerateConfig

__all__ = ["GenerateConfig", "Summary", "generate"]
