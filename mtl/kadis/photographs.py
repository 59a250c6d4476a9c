"""The photographs that a data set was made of: where they are, and whether they have changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from mtl.curation.pristine import pristine_crop
from mtl.kadis.origins import CONTENTS, PHOTOGRAPHS
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import read_picture

# Where the photographs are on this machine, for `verify`; the data set itself does not need it.
SOURCE = "photographs.txt"


def note_folder(data: Path, photos: Path) -> None:
    """Write into a data set where its photographs are."""
    write_atomically(data / SOURCE, f"{photos.resolve()}\n")


def photographs_folder(data: Path, photos: Path | None) -> Path | None:
    """The folder of a data set's photographs; None where it is not known or no longer there.

    Args:
        data: the data set.
        photos: the folder, if the user gave one.

    Raises:
        InputError: there is no folder `photos`.
    """
    if photos is not None:
        if not photos.is_dir():
            raise InputError(f"{photos}: no such folder; give that of the photographs")
        return photos
    try:
        noted = Path((data / SOURCE).read_text(errors="surrogateescape").removesuffix("\n"))
        return noted if noted.is_absolute() and noted.is_dir() else None
    except (OSError, ValueError):
        return None


def check_unchanged(path: Path, content: str | None) -> None:
    """Make sure that a picture is the one that the plan was made with.

    Args:
        path: its file.
        content: the SHA-256 that the plan notes; None where it notes none.

    Raises:
        InputError: it is another, or cannot be read.
    """
    if content is not None and content_digest(path) != content:
        raise InputError(f"{path}: has changed since the data set was planned; put it back")


def pristine_again(
    photos: Path, plan: Mapping[str, Any], reference: str
) -> UInt8[np.ndarray, "h w 3"]:
    """The pristine crop of a photograph, which must be the one that the data set was made of.

    Args:
        photos: folder of the photographs.
        plan: of the data set's manifest.
        reference: the photograph's name.

    Raises:
        InputError: it is missing, cannot be read, or has changed.
    """
    path = photos / reference
    if path.is_file():
        if path.stat().st_size != plan[PHOTOGRAPHS][reference]:
            raise InputError(f"{path}: has changed since the data set was made; put it back")
        check_unchanged(path, plan.get(CONTENTS, {}).get(reference))
    try:
        return pristine_crop(read_picture(path), tuple(plan["size"]))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
