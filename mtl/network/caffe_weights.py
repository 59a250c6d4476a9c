"""Describe a network's weights in Caffe: which layer is which, and who published them.

`mtl.network.imports` reads files by these descriptions and knows no network itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CaffeWeights:
    """A network's weights in a .caffemodel file."""

    layers: Mapping[str, str]
    """Our name of each convolution, a `flax.nnx.Conv` with a bias, by Caffe's name of the layer. It
    may be fully connected in Caffe: then its inputs are joined by channel, row and column."""
    order: tuple[tuple[str, str], ...]
    """Layers without weights, of which the first has to come before the second. Networks with the
    same weights may differ in that."""
    unlike: str
    """Which network has them in another order, in words."""
    file: str
    """Name of the published file with ImageNet weights."""
    digests: Mapping[str, str]
    """What a published file holds, in words, by its SHA-1."""
