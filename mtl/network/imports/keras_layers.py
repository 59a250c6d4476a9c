"""The weights of a file of Keras by our names, as a network's row says which layer is which."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mtl.network.imports.imported import sound_values
from mtl.network.imports.keras_files import KerasFile, StoredLayer
from mtl.network.keras_weights import KerasLayer, Kind, kind_of
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import DEFAULT, NETWORKS, Network
from mtl.runtime.files import InputError

# How Keras names the layers that it numbers, and how many of a kind are spoken of.
PREFIXES: Mapping[Kind, str] = {
    "convolution": "conv2d",
    "separable convolution": "separable_conv2d",
    "normalisation": "batch_normalization",
    "scaled normalisation": "batch_normalization",
}
PLURALS: Mapping[Kind, str] = {
    "convolution": "convolutions",
    "separable convolution": "separable convolutions",
    "normalisation": "batch normalisations without scale",
    "scaled normalisation": "batch normalisations with scale",
}


def body_weights(
    path: Path,
    file: KerasFile,
    *,
    network: Network = NETWORKS[DEFAULT],
    check_names: bool = True,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the body's weights by our names, and the names of the layers that are not of the body.

    Layers are matched as Keras itself does it, by kind and order; where the file keeps names, they
    have to agree.

    Args:
        path: of the file, for messages.
        file: open.
        network: whose body it is; its row says which layer is which.
        check_names: whether names have to agree; the order of a file known by its digest is known.

    Raises:
        InputError: the layers are not those of the network, or their values are not sound.
        ValueError: Keras has no such network.
    """
    if network.keras is None:
        raise ValueError(f"{network.title} has no layers in Keras")
    wanted: dict[Kind, list[KerasLayer]] = {}
    for layer in network.keras.layers:
        wanted.setdefault(layer.kind, []).append(layer)
    stored = {kind: [x for x in file.layers if _stored_kind(x) == kind] for kind in wanted}
    if any(len(stored[kind]) != len(wanted[kind]) for kind in wanted):
        found = " and ".join(f"{len(stored[kind])} {PLURALS[kind]}" for kind in wanted)
        needed = " and ".join(str(len(layers)) for layers in wanted.values())
        raise InputError(
            f"{path}: holds {found}, {network.title} {needed}; it is of another network, which"
            " --network has to name"
        )
    if check_names:
        for kind in wanted:
            _check_names(path, stored[kind], wanted[kind], network.title)
    shapes = functional_model(ModelConfig((), network=network.name)).shapes
    weights = {
        ours: _values(path, layer, role, shapes[ours], network.title)
        for kind in wanted
        for description, layer in zip(wanted[kind], stored[kind], strict=True)
        for role, ours in description.weights.items()
    }
    assert weights.keys() == shapes.keys()
    body = {id(layer) for layers in stored.values() for layer in layers}
    return weights, [layer.name or "unnamed" for layer in file.layers if id(layer) not in body]


def _stored_kind(layer: StoredLayer) -> Kind | None:
    """Return the kind of a stored layer; None for one that no convolutional body has."""
    kind = kind_of(layer.weights)
    return None if kind == "convolution" and layer.weights["kernel"].ndim != 4 else kind


def _check_names(
    path: Path, layers: Sequence[StoredLayer], wanted: Sequence[KerasLayer], title: str
) -> None:
    """Names and numbers have to tell the same order as the file; the numbers may start anywhere."""
    if all(layer.name is None for layer in layers):
        return
    prefix = PREFIXES[wanted[0].kind]
    numbers: dict[int, int] = {}
    for layer, unit in zip(layers, wanted, strict=True):
        name = layer.name or "unnamed"
        if isinstance(unit.keras, str):
            agrees = name == unit.keras
        else:
            match = re.fullmatch(rf"{prefix}(?:_(\d+))?", name)
            agrees = match is not None
            if match:
                numbers[unit.keras] = int(match[1] or 0)
        if not agrees:
            expected = unit.keras if isinstance(unit.keras, str) else f"{prefix}_NUMBER"
            raise InputError(
                f"{path}: its layer {name} stands where {title} of Keras has {expected};"
                " it was renamed or is of another network: load it into Keras' own and save that"
            )
    order = [numbers[created] for created in sorted(numbers)]
    for before, after in pairwise(order):
        if before >= after:
            raise InputError(
                f"{path}: its layers {prefix}_{before} and {prefix}_{after} have changed places; it"
                " was renamed or is of another network: load it into Keras' own and save that"
            )


def _values(
    path: Path, layer: StoredLayer, role: str, shape: tuple[int, ...], title: str
) -> Float[np.ndarray, "..."]:
    """One array of a layer as float32, its shape compared before it is read."""
    name = layer.name or "a layer without name"
    stored = layer.weights.get(role)
    if stored is None or tuple(stored.shape) != shape or stored.dtype.kind != "f":
        came = "nothing" if stored is None else f"{stored.dtype} {tuple(stored.shape)}"
        raise InputError(
            f"{path}: {name} has {came} for its {role}, {title} needs floats {shape};"
            " it is of another network, which --network has to name"
        )
    what = f"{path}: the {role} of {name}"
    return sound_values(stored[()], what, variance=role == "moving_variance")
