"""The weights of a file of Caffe by our names, as a network's row says which layer is which."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mtl.network.imports.imported import sound_values
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import Network
from mtl.runtime.files import InputError


def body_weights(
    path: Path, layers: Mapping[str, Sequence[np.ndarray]], network: Network
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the body's weights by our names, and the names of the layers that are not of the body.

    Layers are matched by name; their shapes have to agree, and so has the order of the layers
    without weights that the row names.

    Args:
        path: of the file, for messages.
        layers: blobs by name, from `mtl.network.imports.caffe_files.read_caffemodel`.
        network: whose body it is.

    Raises:
        InputError: the layers are not those of the network, or their values are not finite.
        ValueError: the network has no layers in Caffe.
    """
    caffe = network.caffe
    if caffe is None:
        raise ValueError(f"{network.title} has no layers in Caffe")
    missing = [name for name in caffe.layers if not layers.get(name)]
    if missing:
        raise InputError(
            f"{path}: has no weights of {', '.join(missing)}, which {network.title} has; it is of"
            " another network or not whole"
        )
    places = {name: number for number, name in enumerate(layers)}
    for before, after in caffe.order:
        if before in places and after in places and places[before] > places[after]:
            raise InputError(
                f"{path}: has {after} before {before}, as {caffe.unlike} has; {network.title} has"
                f" {before} before {after}, and its weights"
            )
    shapes = functional_model(ModelConfig((), network=network.name)).shapes
    weights = {}
    for name, ours in caffe.layers.items():
        if len(layers[name]) != 2:
            raise InputError(
                f"{path}: {name} has {len(layers[name])} arrays in the place of kernel and bias;"
                " it is of another network"
            )
        for role, blob in zip(("kernel", "bias"), layers[name], strict=True):
            values = _ours(blob, shapes[f"{ours}/{role}"])
            if values is None:
                raise InputError(
                    f"{path}: the {role} of {name} is {blob.shape}, {network.title} needs"
                    f" {_theirs(shapes[f'{ours}/{role}'])}; it is of another network"
                )
            weights[f"{ours}/{role}"] = sound_values(values, f"{path}: the {role} of {name}")
    assert weights.keys() == shapes.keys()
    others = [name for name, blobs in layers.items() if blobs and name not in caffe.layers]
    return weights, others


def _theirs(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in Caffe of what has a shape here."""
    if len(shape) == 1:
        return shape
    rows, columns, inputs, outputs = shape
    return outputs, inputs, rows, columns


def _ours(blob: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, "..."] | None:
    """Return a blob in our layout; None where it is of another shape.

    A fully connected layer's kernel is (outputs, inputs); a blob of the old layout has four
    dimensions, the first of them 1 where it needs fewer.
    """
    theirs = _theirs(shape)
    known = [theirs]
    if len(theirs) == 4:
        known.append((theirs[0], int(np.prod(theirs[1:]))))
    known += [(*(1,) * (4 - len(one)), *one) for one in known if len(one) < 4]
    if blob.shape not in known:
        return None
    values = blob.reshape(theirs)
    return values if len(shape) == 1 else values.transpose(2, 3, 1, 0)
