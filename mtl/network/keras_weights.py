"""Describe a network's weights in Keras: which layer is which, and where the files are.

`mtl.network.imports` reads files by these descriptions and knows no network itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind = Literal["convolution", "separable convolution", "normalisation", "scaled normalisation"]


def kind_of(roles: Iterable[str]) -> Kind | None:
    """Return what a layer of a convolutional body is by its weights; None for another layer.

    Args:
        roles: Keras' names of its weights: kernel, bias, depthwise_kernel, pointwise_kernel, gamma,
            beta, moving_mean, moving_variance.
    """
    found = set(roles)
    if found == {"beta", "moving_mean", "moving_variance"}:
        return "normalisation"
    if found == {"gamma", "beta", "moving_mean", "moving_variance"}:
        return "scaled normalisation"
    if "pointwise_kernel" in found:
        return "separable convolution"
    return "convolution" if "kernel" in found else None


@dataclass(frozen=True)
class KerasLayer:
    """A layer with weights as Keras has it."""

    keras: str | int
    """Keras' name; or, for layers that Keras numbers as it creates them, the place among those."""
    weights: Mapping[str, str]
    """Our name of each weight by Keras' name of it, such as kernel or moving_mean."""

    @property
    def kind(self) -> Kind:
        """Name the kind of the layer."""
        kind = kind_of(self.weights)
        assert kind is not None, "a description names the weights of a known kind of layer"
        return kind


def convolution(keras: str | int, path: str, *, bias: bool = False) -> KerasLayer:
    """Return a convolution whose weights are those of our `flax.nnx.Conv` at `path`."""
    return KerasLayer(keras, {r: f"{path}/{r}" for r in ("kernel", *(["bias"] if bias else []))})


def separable_convolution(keras: str | int, path: str) -> KerasLayer:
    """Return a separable convolution without bias, our module at `path`.

    Its weights are those of our `mtl.network.depthwise.DepthwiseConv` named depthwise and of our
    `flax.nnx.Conv` named pointwise.
    """
    parts = ("depthwise", "pointwise")
    return KerasLayer(keras, {f"{part}_kernel": f"{path}/{part}/kernel" for part in parts})


def normalisation(keras: str | int, path: str, *, scale: bool = False) -> KerasLayer:
    """Return a normalisation whose weights are those of our `layers.BatchNorm` at `path`."""
    ours = {"beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
    if scale:
        ours["gamma"] = "scale"
    return KerasLayer(keras, {role: f"{path}/{name}" for role, name in ours.items()})


Chain: TypeAlias = "int | tuple[int, Sequence[Chain]]"
"""A chain of branches: its convolution units, and the chains that it forks into at its end."""

# Layers of Keras that a unit is (convolution, normalisation, activation), and that join branches.
UNIT_LAYERS, JOINING_LAYERS = 3, 1


def by_distance(path: str, chains: Sequence[Chain], created: int) -> list[tuple[str, int]]:
    """Return the units of branches in the order in which Keras keeps them.

    Keras sorts a model's layers by their distance from the output, and layers of one distance by
    branch, but numbers them as they were created: branch by branch.

    Args:
        path: of our `mtl.network.inception_layers.Branches`.
        chains: all of the branches; a pooled copy of the input counts with the units after it.
        created: units that Keras created before.

    Returns:
        Our path of each unit, and its place among those created, from 0.
    """
    units = [
        (-distance, created + k, unit) for k, (distance, unit) in enumerate(_units(path, chains))
    ]
    return [(unit, place) for _, place, unit in sorted(units)]


def _units(path: str, chains: Sequence[Chain], behind: int = 0) -> Iterator[tuple[int, str]]:
    """Yield each unit as it is created: the layers from it to the branches' end, and its path."""
    for number, chain in enumerate(chains):
        place = f"{path}/chains/{number}"
        length, fork = (chain, ()) if isinstance(chain, int) else chain
        forked = list(_units(f"{place}/{length}", fork, behind + JOINING_LAYERS))
        end = max([behind, *(distance for distance, _ in forked)])
        for k in range(length):
            yield end + UNIT_LAYERS * (length - k), f"{place}/{k}"
        yield from forked


@dataclass(frozen=True)
class KnownFile:
    """Weights that somebody published under a name of their own."""

    stem: str
    """What the file's name begins with."""
    source: str
    """Whose they are, in words."""
    scaling: str
    """Name of the pixel scaling they were trained with."""
    because: str
    """Why this scaling, in words."""


@dataclass(frozen=True)
class KerasWeights:
    """A network's weights on record: those that Keras publishes, and others in its layout."""

    layers: Sequence[KerasLayer]
    """All layers with weights; those of a kind in the order in which Keras keeps them."""
    address: str
    """Of the folder that Keras fetches its ImageNet weights from; ends in a slash."""
    file: str
    """Name of the file without the classification layer."""
    digests: Mapping[str, str]
    """MD5 of each published file by its name."""
    known: tuple[KnownFile, ...] = ()
    """Files of others."""
    first_unit: str | None = None
    """Our name of the first convolution unit, where the statistics of its normalisation may tell
    the pixel scaling: it has no bias, and there are weights with both of the scalings in
    `mtl.network.imports.pretrained.MEAN_INPUTS`. None leaves that to the table's row."""
