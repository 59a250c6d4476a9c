"""The weights that a run starts from, by the name that users give them."""

from pathlib import Path

from mtl.network.imports.packaged import packaged_folder
from mtl.network.networks import DEFAULT, find_network
from mtl.network.weights import (
    IMAGENET,
    INCLUDED,
    MODEL_FILE,
    TrainedModel,
    imagenet_folder,
    imagenet_network,
    imagenet_remedy,
    load_config,
    load_model,
    model_folder,
)
from mtl.runtime.files import InputError

# What --init knows besides folders, IMAGENET, NETWORK-imagenet and INCLUDED.
RANDOM = "random"


def starting_network(init: str, network: str | None) -> str:
    """Return the name of the network that a run trains.

    Args:
        init: as the settings have it.
        network: as the settings have it; None means that of `init`, else the paper's.

    Raises:
        InputError: `init` is of another network than `network`, or is not there.
    """
    if init in (RANDOM, IMAGENET):
        return network or DEFAULT
    own = imagenet_network(init) or load_config(init).network
    if network not in (None, own):
        raise InputError(f"--init {init}: is {own}; leave --network {network} out")
    return own


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


def starting_folder(init: str, network: str = DEFAULT, *, option: str = "--init") -> Path | None:
    """Return the folder of the model that `--init` names; None for random weights.

    ImageNet weights that an installed package brings are put into the user's cache first.

    Args:
        init: as the settings have it.
        network: whose ImageNet weights are meant where `init` does not say it.
        option: that the user gave, for the message; --init takes random weights, too.

    Raises:
        InputError: it is not there.
    """
    if init == RANDOM:
        return None
    which = network if init == IMAGENET else imagenet_network(init)
    if which is None:
        return model_folder(init)
    folder = imagenet_folder(which)
    if not (folder / MODEL_FILE).is_file():
        row = find_network(which)
        if row.torch is None:
            other = ", or use --init random" if option == "--init" else ""
            raise InputError(
                f"{option} {init}: {folder} has no weights yet; {imagenet_remedy(row)}{other}"
            )
        packaged_folder(row)
    return folder


def with_absolute_path(init: str) -> str:
    """Return the name in a form that means the same in every working folder."""
    named = init in (RANDOM, IMAGENET, INCLUDED) or imagenet_network(init) is not None
    return init if named else str(Path(init).resolve())
