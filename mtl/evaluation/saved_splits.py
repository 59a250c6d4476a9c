"""Splits that can be used again: a file that says which part each reference is in."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl.evaluation.splits import Split
from mtl.runtime.files import InputError, write_atomically

FORMAT = 1
SPLITS_FILE = "splits.json"  # in a run of `deepfl finetune`, for `deepfl benchmark --splits`


@dataclass(frozen=True)
class SavedSplits:
    """Hold the splits of a file."""

    splits: list[Split]
    database: str
    """Name of the database they are of."""
    sha256: str
    """Of the file's content, to be shown beside results."""


def write_splits(
    path: Path,
    splits: Sequence[Split],
    names: Sequence[str],
    references: Sequence[str],
    *,
    database: str,
) -> str:
    """Write which part each reference is in, for all repetitions; returns the content's SHA-256.

    The file is JSON: database, pictures, pictures_sha256 (of the list of pictures and references,
    in any order), references, repetitions (a text each, in the references' order: t training, v
    validation, e test (evaluation), - in none), sha256 (of all that, as compact JSON with sorted
    keys).

    Args:
        path: to write.
        splits: in the order of the repetitions.
        names: of the database's pictures, each once.
        references: of each picture.
        database: its name.

    Raises:
        ValueError: a reference is in two parts of a split, or the lengths differ.
    """
    listed = sorted(set(references))
    repetitions = []
    for number, split in enumerate(splits):
        letters: dict[str, str] = {}
        for letter, part in _parts(split).items():
            for row in part:
                if letters.setdefault(references[row], letter) != letter:
                    raise ValueError(f"split {number} parts the pictures of {references[row]}")
        repetitions.append("".join(letters.get(reference, "-") for reference in listed))
    content = {
        "format": FORMAT,
        "database": database,
        "pictures": len(names),
        "pictures_sha256": _pictures_digest(names, references),
        "references": listed,
        "repetitions": repetitions,
    }
    digest = _digest(content)
    # ASCII, which also holds names that are not UTF-8.
    text = json.dumps(content | {"sha256": digest}, indent=1)
    write_atomically(path, text + "\n")
    return digest


def read_splits(path: Path, names: Sequence[str], references: Sequence[str]) -> SavedSplits:
    """Read what `write_splits` wrote, for the same database with its pictures in any order.

    Args:
        path: of the file.
        names: of the database's pictures.
        references: of each picture.

    Raises:
        InputError: the file is missing or damaged, its content was changed, or it is of another
            list of pictures.
        ValueError: the lengths differ or a picture is named twice.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = content.pop("sha256")
        database, listed = str(content["database"]), list(content["references"])
        repetitions = [str(letters) for letters in content["repetitions"]]
        known, pictures, form = (content[k] for k in ("pictures_sha256", "pictures", "format"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is missing or is not a file of splits ({error})") from error
    if form != FORMAT:
        raise InputError(f"{path}: was written by another version; write the splits again")
    if _digest(content) != digest:
        raise InputError(
            f"{path}: was changed since it was written (its SHA-256 differs); copy it again"
        )
    if known != _pictures_digest(names, references):
        raise InputError(
            f"{path}: holds splits of {pictures} pictures of {database}, not of these"
            f" {len(names)}; use them with the table they were made for"
        )
    place = {reference: k for k, reference in enumerate(listed)}
    if set(place) != set(references) or any(len(text) != len(listed) for text in repetitions):
        raise InputError(f"{path}: is not a file of splits (its parts differ); write it again")
    order = np.array([place[reference] for reference in references])
    splits = []
    for letters in repetitions:
        of = np.array(list(letters))[order]
        splits.append(Split(*(np.flatnonzero(of == letter) for letter in "tve")))
    return SavedSplits(splits, database, digest)


def _parts(split: Split) -> dict[str, np.ndarray]:
    return {"t": split.train, "v": split.validation, "e": split.test}


def _digest(content: Mapping[str, Any]) -> str:
    compact = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(compact.encode()).hexdigest()


def _pictures_digest(names: Sequence[str], references: Sequence[str]) -> str:
    if len(names) != len(references) or len(set(names)) != len(names):
        raise ValueError(
            f"{len(names)} pictures, {len(set(names))} of them different, and {len(references)}"
            " references"
        )
    pairs = sorted(zip(map(str, names), map(str, references), strict=True))
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
