"""Which layer in a file of Keras is which of our InceptionResNetV2."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mtl.network.imports.keras_files import KerasFile, StoredLayer
from mtl.network.inception_resnet_v2 import BLOCK8_REPEATS, BLOCK17_REPEATS, BLOCK35_REPEATS
from mtl.network.model import ModelConfig, functional_model
from mtl.runtime.files import InputError


class Convolution(NamedTuple):
    """A convolution of the body."""

    path: str
    """Of our unit, or of our convolution where it has a bias and no normalisation."""
    keras: str | int
    """Keras' name, or its place among those that Keras numbers as it creates them."""

    @property
    def has_norm(self) -> bool:
        """Whether a normalisation follows; the others have a bias."""
        return not self.path.endswith("/up")


def keras_convolutions() -> list[Convolution]:
    """All convolutions in the order in which Keras keeps them.

    Keras sorts a model's layers by their distance from the output, and layers of one distance by
    branch, but numbers them as they were created: branch by branch.
    """
    found: list[Convolution] = []
    created = 0

    def chains(path: str, *lengths: int) -> None:
        nonlocal created
        units = []
        for chain, length in enumerate(lengths):
            for k in range(length):
                units.append((k - length, chain, Convolution(f"{path}/{chain}/{k}", created)))
                created += 1
        found.extend(unit for _, _, unit in sorted(units))

    def blocks(name: str, repeats: int, *lengths: int) -> None:
        for k in range(repeats):
            chains(f"body/{name}/{k}/branches/chains", *lengths)
            found.append(Convolution(f"body/{name}/{k}/up", f"{name}_{k + 1}_conv"))

    found += [Convolution(f"body/stem/{k}", k) for k in range(5)]
    created = len(found)
    chains("body/mixed_5b/chains", 1, 2, 3, 1)
    blocks("block35", BLOCK35_REPEATS, 1, 2, 3)
    chains("body/mixed_6a/chains", 1, 3)
    blocks("block17", BLOCK17_REPEATS, 1, 3)
    chains("body/mixed_7a/chains", 2, 2, 3)
    blocks("block8", BLOCK8_REPEATS, 1, 3)
    found.append(Convolution("body/conv_7b", "conv_7b"))
    return found


def body_weights(
    path: Path, file: KerasFile, *, check_names: bool = True
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The body's weights by our names, and the names of the layers that are not of the body.

    Layers are matched as Keras itself does it, by kind and order; where the file keeps names, they
    have to agree.

    Args:
        path: of the file, for messages.
        file: open.
        check_names: whether names have to agree; the order of a file known by its digest is known.

    Raises:
        InputError: the layers are not those of InceptionResNetV2, or their values are not sound.
    """
    wanted = keras_convolutions()
    normed = [unit for unit in wanted if unit.has_norm]
    convolutions = [
        x for x in file.layers if "kernel" in x.weights and x.weights["kernel"].ndim == 4
    ]
    norms = [
        x for x in file.layers if x.weights.keys() == {"beta", "moving_mean", "moving_variance"}
    ]
    if (len(convolutions), len(norms)) != (len(wanted), len(normed)):
        raise InputError(
            f"{path}: holds {len(convolutions)} convolutions and {len(norms)} batch normalisations"
            f" without scale, InceptionResNetV2 {len(wanted)} and {len(normed)}; it is of another"
            " network"
        )
    if check_names:
        _check_names(path, convolutions, wanted, "conv2d", "")
        _check_names(path, norms, normed, "batch_normalization", "_bn")
    shapes = functional_model(ModelConfig(())).shapes
    weights: dict[str, np.ndarray] = {}

    def take(layer: StoredLayer, names: Mapping[str, str]) -> None:
        for role, name in names.items():
            weights[name] = _values(path, layer, role, shapes[name])

    for unit, layer in zip(wanted, convolutions, strict=True):
        if unit.has_norm:
            take(layer, {"kernel": f"{unit.path}/conv/kernel"})
        else:
            take(layer, {role: f"{unit.path}/{role}" for role in ("kernel", "bias")})
    for unit, layer in zip(normed, norms, strict=True):
        roles = {"beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
        take(layer, {role: f"{unit.path}/norm/{ours}" for role, ours in roles.items()})
    assert weights.keys() == shapes.keys()
    body = {id(layer) for layer in (*convolutions, *norms)}
    return weights, [layer.name or "unnamed" for layer in file.layers if id(layer) not in body]


def _check_names(
    path: Path, layers: Sequence[StoredLayer], units: Sequence[Convolution], kind: str, ending: str
) -> None:
    """Names and numbers have to tell the same order as the file; the numbers may start anywhere."""
    if all(layer.name is None for layer in layers):
        return
    numbers: dict[int, int] = {}
    for layer, unit in zip(layers, units, strict=True):
        name = layer.name or "unnamed"
        if isinstance(unit.keras, str):
            agrees = name == f"{unit.keras}{ending}"
        else:
            match = re.fullmatch(rf"{kind}(?:_(\d+))?", name)
            agrees = match is not None
            if match:
                numbers[unit.keras] = int(match[1] or 0)
        if not agrees:
            expected = f"{unit.keras}{ending}" if isinstance(unit.keras, str) else f"{kind}_NUMBER"
            raise InputError(
                f"{path}: its layer {name} stands where InceptionResNetV2 of Keras has {expected};"
                " it was renamed or is of another network: load it into Keras' own and save that"
            )
    order = [numbers[created] for created in sorted(numbers)]
    for before, after in pairwise(order):
        if before >= after:
            raise InputError(
                f"{path}: its layers {kind}_{before} and {kind}_{after} have changed places; it was"
                " renamed or is of another network: load it into Keras' own and save that"
            )


def _values(
    path: Path, layer: StoredLayer, role: str, shape: tuple[int, ...]
) -> Float[np.ndarray, "..."]:
    """One array of a layer as float32, its shape compared before it is read."""
    name = layer.name or "a layer without name"
    stored = layer.weights.get(role)
    if stored is None or tuple(stored.shape) != shape or stored.dtype.kind != "f":
        came = "nothing" if stored is None else f"{stored.dtype} {tuple(stored.shape)}"
        raise InputError(
            f"{path}: {name} has {came} for its {role}, InceptionResNetV2 needs floats {shape};"
            " it is of another network"
        )
    values = np.asarray(stored[()], np.float32)
    if not np.isfinite(values).all() or (role == "moving_variance" and values.min() < 0):
        raise InputError(
            f"{path}: the {role} of {name} holds values that no training leaves (not finite, or a"
            " negative variance); fetch or train it again"
        )
    return values
