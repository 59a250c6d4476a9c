"""The crop of one photograph: settings, the name of its file, and what makes it unusable."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from mtl.curation.duplicates import BITS, DISTANCE, KeptHashes, perceptual_hash
from mtl.curation.photograph import read_photograph
from mtl.curation.pristine import SIZE, centre_offsets, crop, span, too_small
from mtl.curation.saliency import salient_offsets
from mtl.runtime.file_names import too_long
from mtl.runtime.files import InputError
from mtl.runtime.paths.apart import check_apart
from mtl.runtime.pictures import Rejected, picture_size


@dataclass(frozen=True)
class CurateConfig:
    """What to curate, and how. All but the number of threads decides the bytes."""

    photos: Path
    """Folder of photographs (sub-folders are searched)."""
    out: Path
    """Folder for the crops; an unfinished curation with the same settings is continued."""
    size: tuple[int, int] = SIZE
    """Height and width of the crops in pixels."""
    crop: Literal["centre", "salient"] = "centre"
    """centre: the middle. salient: where frontal faces and salient regions stay inside."""
    enlarge: bool = False
    """Scale up what is smaller than the crops, instead of leaving it out."""
    duplicate_distance: int = DISTANCE
    """Bits of 64 up to which two photographs count as one; -1 keeps near-duplicates."""
    num_workers: int | None = None
    """Photographs at a time; one per core when not given."""


@dataclass(frozen=True)
class Cropped:
    """A photograph that can be used, scaled and cropped."""

    image: UInt8[np.ndarray, "h w 3"]
    """The crop."""
    shape: tuple[int, int]
    """Height and width of the photograph, as displayed."""
    offsets: tuple[int, int]
    """Top and left of the crop in the scaled photograph."""
    hash: int
    """Perceptual hash of the photograph."""


def check(config: CurateConfig) -> None:
    """Refuse settings that cannot be.

    Raises:
        InputError: sizes, distances or folders make no sense.
    """
    if min(config.size) < 1:
        raise InputError(f"--size {config.size[0]} {config.size[1]}: give pixels, 1 or more")
    if not -1 <= config.duplicate_distance <= BITS:
        raise InputError(
            f"--duplicate-distance {config.duplicate_distance}: give bits from 0 to {BITS}, or -1"
            " to keep near-duplicates"
        )
    if config.num_workers is not None and config.num_workers < 1:
        raise InputError(f"--num-workers {config.num_workers}: must be at least 1")
    check_apart(config.photos, config.out)


def output_files(names: Sequence[str]) -> dict[str, str | Rejected]:
    """The crop's file for each photograph, by the rule of `mtl.curation.curate`."""
    stems = Counter(_stem(name).casefold() for name in names)
    # A file cannot have the name of a folder.
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    taken = {folder.casefold(): f"the folder {folder}" for folder in folders}
    files: dict[str, str | Rejected] = {}
    for name in names:
        file = f"{name if stems[_stem(name).casefold()] > 1 else _stem(name)}.png"
        long = too_long(file)
        if long is not None:
            files[name] = Rejected(name, long)
        elif file.casefold() in taken:
            other = taken[file.casefold()]
            files[name] = Rejected(
                name, f"its crop {file} would overwrite {other}; rename the photograph"
            )
        else:
            taken[file.casefold()] = f"that of {name}"
            files[name] = file
    return files


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def crop_of(config: CurateConfig, name: str) -> Cropped | Rejected:
    """One photograph scaled and cropped as the settings say, or why it cannot be used."""
    path = config.photos / name
    try:
        # The header first: most of what is left out need not be decoded.
        reason = too_small(picture_size(path), config.size)
        if reason and not config.enlarge:
            return Rejected(name, f"{reason}, or --enlarge")
        photograph = read_photograph(path)
    except InputError as error:
        return Rejected.of(name, path, error)
    spanned = span(photograph, config.size, enlarge=config.enlarge)
    if config.crop == "salient":
        offsets = salient_offsets(spanned, config.size)
    else:
        offsets = centre_offsets(spanned.shape[:2], config.size)
    height, width = photograph.shape[:2]
    code = perceptual_hash(photograph)
    return Cropped(crop(spanned, offsets, config.size), (height, width), offsets, code)


def duplicate_of(config: CurateConfig, code: int, hashes: KeptHashes) -> str | None:
    """Why a photograph with this hash counts as one that was kept; None when it does not."""
    nearest = hashes.nearest(code)
    if nearest is None or nearest[1] > config.duplicate_distance:
        return None
    return f"near-duplicate of {nearest[0]} ({nearest[1]} of {BITS} bits differ)"
