"""The weights of a file of PyTorch by our names, as a network's row says which is which."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mtl.network.imports.imported import sound_values
from mtl.network.imports.torch_files import SHOWN
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import Network
from mtl.runtime.files import InputError

COUNTER = ".num_batches_tracked"  # how PyTorch counts the batches of a normalisation


def body_weights(
    path: Path, stored: Mapping[str, np.ndarray], network: Network
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the body's weights by our names, and the names of the layers that are not of the body.

    Args:
        path: of the file, for messages.
        stored: arrays by name, from `mtl.network.imports.torch_files.read_torch_file`.
        network: whose body it is.

    Raises:
        InputError: the parameters are not those of the network, or their values are not sound.
        ValueError: the network has no layers in PyTorch.
    """
    torch = network.torch
    if torch is None:
        raise ValueError(f"{network.title} has no layers in PyTorch")
    others = [name for name in stored if name not in torch.arrays and not name.endswith(COUNTER)]
    roots = {name.partition(".")[0] for name in torch.arrays}
    wrong = [name for name in others if name.partition(".")[0] in roots]
    wrong += [name for name in torch.arrays if name not in stored]
    if wrong:
        raise InputError(
            f"{path}: holds parameters of another network than {network.title} ({len(wrong)}"
            f" differ, such as {wrong[0][:SHOWN]!a}); save that network's own state_dict()"
        )
    shapes = functional_model(ModelConfig((), network=network.name)).shapes
    weights = {}
    for name, array in torch.arrays.items():
        values, shape = stored[name], shapes[array.ours]
        theirs = tuple(shape[array.axes.index(k)] for k in range(len(shape)))
        if values.shape != theirs or values.dtype.kind != "f":
            raise InputError(
                f"{path}: {name} holds {values.dtype} {values.shape}, {network.title} needs floats"
                f" {theirs}; it is of another network"
            )
        weights[array.ours] = sound_values(
            values.transpose(array.axes), f"{path}: {name}", variance=array.ours.endswith("/var")
        )
    assert weights.keys() == shapes.keys()
    return weights, list(dict.fromkeys(name.rpartition(".")[0] or name for name in others))
