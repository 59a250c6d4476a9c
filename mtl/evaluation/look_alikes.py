"""Near-duplicates among rated pictures that a split puts into different parts.

A table without references takes every picture for one of its own. Versions of one photograph would
then be trained and tested on, and the test would flatter.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from mtl.curation.duplicates import DISTANCE, perceptual_hash
from mtl.evaluation.splits import Split
from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture
from mtl.runtime.threads import computed


def perceptual_hashes(paths: Sequence[Path], *, progress: bool = False) -> list[int | InputError]:
    """Return the perceptual hash of each picture in order, or why it cannot be read."""

    def one(path: Path) -> int | InputError:
        try:
            return perceptual_hash(read_picture(path))
        except InputError as error:
            return error

    return computed(one, paths, "look at pictures", progress=progress)


def look_alikes(
    hashes: Sequence[int | InputError | None], splits: Sequence[Split]
) -> Int[np.ndarray, "p 2"]:
    """Return the pairs of rows that look alike and are in different parts of some split.

    Args:
        hashes: of each row's picture; rows with anything but a number are left out.
        splits: row numbers.
    """
    known = np.array([k for k, value in enumerate(hashes) if isinstance(value, int)], int)
    values = np.array([hashes[k] for k in known], np.uint64)
    pairs = [np.zeros((0, 2), int)]
    for place in range(len(known) - 1):
        distances = np.bitwise_count(values[place + 1 :] ^ values[place])
        near = np.flatnonzero(distances <= DISTANCE) + place + 1
        pairs.append(np.stack([np.full(len(near), known[place]), known[near]], axis=1))
    found = np.concatenate(pairs)
    parted = np.zeros(len(found), bool)
    for split in splits:
        part = np.full(len(hashes), -1)
        for number, rows in enumerate((split.train, split.validation, split.test)):
            part[rows] = number
        first, second = part[found].T
        parted |= (first != second) & (first >= 0) & (second >= 0)
    return found[parted]


def remark_on_look_alikes(
    table: Path, names: Sequence[str], pairs: Int[np.ndarray, "p 2"]
) -> str | None:
    """Return one line that suggests the column `reference`; None where nothing looks alike.

    Args:
        table: the ratings.
        names: of the pictures.
        pairs: rows, as `look_alikes` returns them.
    """
    if not len(pairs):
        return None
    pictures = len(np.unique(pairs))
    first, second = (names[row] for row in pairs[0])
    return (
        f"{table}: {pictures} pictures look like others that are in another part of the split, such"
        f" as {first} and {second}; add a column reference with one name for all pictures of one"
        " content, or the test flatters"
    )
