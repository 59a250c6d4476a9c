"""Record the rated pictures that a model was trained on: it must not be tested on them.

MODEL/seen.json    {"format": 1, "ratings": [{"table": name, "sha256": of the table, "pictures":
                   {SHA-256 of a picture's file: "training" or "validation"}}, ...]}

A model that starts from another's weights has seen what that one has.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtl.runtime.files import InputError, write_atomically

SEEN_FILE = "seen.json"
FORMAT = 1

TRAINED, CHOSEN = "training", "validation"
"""Uses of a picture: to train, or to choose what is kept of the training."""


@dataclass(frozen=True)
class SeenRatings:
    """The pictures of one table of ratings that a model was trained on or chosen by."""

    table: str
    """Its file's name."""
    sha256: str
    """Of the table's file, or of names and scores where a benchmark read them."""
    pictures: Mapping[str, str]
    """How each was used, by the SHA-256 of its file."""


def seen_pictures(seen: Sequence[SeenRatings]) -> dict[str, str]:
    """Return the name of the table by the SHA-256 of each picture seen."""
    return {digest: each.table for each in seen for digest in each.pictures}


def joined(*parts: Sequence[SeenRatings]) -> tuple[SeenRatings, ...]:
    """Return what a model has seen that was trained in several steps, each record once."""
    found: list[SeenRatings] = []
    for each in (each for part in parts for each in part):
        if each not in found:
            found.append(each)
    return tuple(found)


def write_seen(folder: Path, seen: Sequence[SeenRatings]) -> None:
    """Write the record of a model folder; an empty one says that it has seen no rated pictures."""
    rows = [
        {"table": each.table, "sha256": each.sha256, "pictures": dict(each.pictures)}
        for each in seen
    ]
    write_atomically(folder / SEEN_FILE, json.dumps({"format": FORMAT, "ratings": rows}, indent=1))


def has_record(folder: Path) -> bool:
    """Tell whether a model folder says what it has seen; those of older versions do not."""
    return (folder / SEEN_FILE).exists()


def read_seen(folder: Path) -> tuple[SeenRatings, ...]:
    """Read the record of a model folder; empty where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = folder / SEEN_FILE
    if not path.exists():
        return ()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
        return tuple(
            SeenRatings(
                str(row["table"]),
                str(row["sha256"]),
                {str(digest): str(used) for digest, used in row["pictures"].items()},
            )
            for row in content["ratings"]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is damaged ({error}), so it is not known what the model was trained on; take"
            " the model folder from where it was made"
        ) from error
