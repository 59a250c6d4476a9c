"""The weights that a run starts from, by the name that users give them."""

from pathlib import Path

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


def starting_model(init: str) -> TrainedModel | None:
    """Read the model that `--init` names; None for random weights.

    Raises:
        InputError: it is not there.
    """
    folder = starting_folder(init)
    return None if folder is None else load_model(folder)


def starting_folder(init: str) -> Path | None:
    """Return the folder of the model that `--init` names; None for random weights.

    Raises:
        InputError: it is not there.
    """
    if init == RANDOM:
        return None
    if init != IMAGENET:
        return model_folder(init)
    folder = imagenet_folder()
    if not (folder / MODEL_FILE).is_file():
        raise InputError(
            f"--init imagenet: {folder} has no weights yet; run `deepfl import-keras imagenet`"
            " once, or use --init random"
        )
    return folder


def with_absolute_path(init: str) -> str:
    """Return the name in a form that means the same in every working folder."""
    return init if init in (RANDOM, IMAGENET, INCLUDED) else str(Path(init).resolve())
