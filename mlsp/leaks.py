"""Pictures that a model has been trained on must not test it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from mlsp.databases import Database
from mtl.contents import content_digests
from mtl.files import InputError
from mtl.look_alikes import look_alikes, perceptual_hashes, remark_on_look_alikes
from mtl.saved_splits import SPLITS_FILE
from mtl.seen import CHOSEN, TRAINED, SeenRatings, read_seen, seen_pictures
from mtl.splits import Split
from mtl.weights import TrainedModel


@dataclass(frozen=True)
class Planned:
    """A database and the splits it is tested by."""

    path: Path
    """That the user gave."""
    database: Database
    splits: Mapping[str, Sequence[Split]]
    """Row numbers, by protocol."""


def check_unseen(
    rated: Sequence[Planned], models: Mapping[str, TrainedModel], *, progress: bool = False
) -> None:
    """Refuse a benchmark in which a model is tested on pictures that it was trained on.

    Args:
        rated: the databases; with several, each is also tested as a whole.
        models: by label.
        progress: report on standard error.

    Raises:
        InputError: names the model, the database, a picture and the remedy.
    """
    known = {label: read_seen(model.folder) for label, model in models.items()}
    if not any(known.values()):
        return
    for each in rated:
        files = [each.database.root / name for name in each.database.names]
        digests = content_digests(files, progress=progress)
        for label, seen in known.items():
            tables = seen_pictures(seen)
            flags = np.array([digest in tables for digest in digests], bool)
            if not flags.any():
                continue
            if len(rated) > 1:
                raise InputError(
                    f"{each.path}: {label} was trained on {flags.sum()} of its {len(flags)}"
                    f" pictures, such as {_first(each, flags)}, and several databases are each"
                    " tested as a whole; leave out that database or that model"
                )
            _check_tests(each, label, models[label], seen, flags)


def _check_tests(
    rated: Planned,
    label: str,
    model: TrainedModel,
    seen: Sequence[SeenRatings],
    flags: Bool[np.ndarray, " n"],
) -> None:
    """Refuse splits whose test parts hold pictures that the model has seen."""
    for protocol, splits in rated.splits.items():
        for split in splits:
            tested = np.zeros(len(flags), bool)
            tested[split.test] = True
            if not (tested & flags).any():
                continue
            own = model.folder.parent / SPLITS_FILE
            remedy = "test it on other pictures, or leave the model out"
            if own.is_file():
                remedy = f"test it on its own test part with --splits {own}, or leave it out"
            leaked = tested & flags
            tables = ", ".join(dict.fromkeys(each.table for each in seen))
            raise InputError(
                f"{rated.path}: {label} was trained on {leaked.sum()} test pictures of the"
                f" {protocol} split, such as {_first(rated, leaked)} (by {tables}); {remedy}"
            )


def _first(rated: Planned, flags: Bool[np.ndarray, " n"]) -> str:
    return rated.database.names[int(flags.argmax())]


def remark_on(rated: Planned, *, progress: bool = False) -> str | None:
    """Return a line about near-duplicates in different parts; None where there are none.

    Pictures of a table that names references, and of a published database, are not compared.
    """
    database = rated.database
    if rated.path.is_dir() or list(database.references) != list(database.names):
        return None
    hashes = perceptual_hashes([database.root / n for n in database.names], progress=progress)
    splits = [split for parts in rated.splits.values() for split in parts]
    return remark_on_look_alikes(rated.path, database.names, look_alikes(hashes, splits))


def seen_by(rated: Planned, split: Split, *, progress: bool = False) -> SeenRatings:
    """Return the record of the pictures that a regressor was fitted to and chosen by.

    Args:
        rated: the database.
        split: its row numbers.
        progress: report on standard error.
    """
    database = rated.database
    pictures: dict[str, str] = {}
    for used, rows in ((TRAINED, split.train), (CHOSEN, split.validation)):
        files = [database.root / database.names[row] for row in rows]
        pictures |= dict.fromkeys(content_digests(files, progress=progress), used)
    ratings = json.dumps([database.names, database.scores.tolist()])
    return SeenRatings(rated.path.name, hashlib.sha256(ratings.encode()).hexdigest(), pictures)
