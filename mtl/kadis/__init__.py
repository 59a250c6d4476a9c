"""KADIS data sets: pristine crops, recipes, distorted versions, scores and shards."""

from mtl.kadis.generate import Summary, generate
from mtl.kadis.plan import GenerateConfig
from mtl.kadis.verify import Verification, VerifyConfig, verify

__all__ = ["GenerateConfig", "Summary", "Verification", "VerifyConfig", "generate", "verify"]
