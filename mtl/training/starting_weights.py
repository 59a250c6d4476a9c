"""The weights that a run starts from, by the name that users give them."""

from pathlib import Path

from mtl.network.networks import DEFAULT, find_network
from mtl.network.weights import (
    IMAGENET,
    INCLUDED,
    MODEL_FILE,
    TrainedModel,
    imagenet_folder,
    load_model,
    model_folder,
)
from mtl.runtime.files import InputError

RANDOM = "random"  # what --init knows besides folders, IMAGENET and INCLUDED


def starting_model(init: str, network: str = DEFAULT) -> TrainedModel | None:
    """Read the model that `--init` names; None for random weights.

    Args:
        init: as the settings have it.
        network: whose ImageNet weights are meant.

    Raises:
        InputError: it is not there.
    """
    folder = starting_folder(init, network)
    return None if folder is None else load_model(folder)


def starting_folder(init: str, network: str = DEFAULT) -> Path | None:
    """Return the folder of the model that `--init` names; None for random weights.

    Args:
        init: as the settings have it.
        network: whose ImageNet weights are meant.

    Raises:
        InputError: it is not there.
    """
    if init == RANDOM:
        return None
    if init != IMAGENET:
        return model_folder(init)
    folder = imagenet_folder(network)
    if not (folder / MODEL_FILE).is_file():
        raise InputError(
            f"--init imagenet: {folder} has no weights yet; {imagenet_remedy(network)}, or use"
            " --init random"
        )
    return folder


def imagenet_remedy(network: str) -> str:
    """Return what makes the folder of a network's ImageNet weights, as words for a user."""
    if find_network(network).keras is None:
        return f"give --init a model folder of {network}, since Keras has no such network"
    which = IMAGENET if network == DEFAULT else network
    return f"run `deepfl import-keras {which}` once"


def with_absolute_path(init: str) -> str:
    """Return the name in a form that means the same in every working folder."""
    return init if init in (RANDOM, IMAGENET, INCLUDED) else str(Path(init).resolve())
