"""Pictures that a model has been trained on must not test it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from mlsp.databases import Database
from mlsp.prediction.quality_model import REGRESSOR_FILE
from mtl.evaluation.look_alikes import look_alikes, perceptual_hashes, remark_on_look_alikes
from mtl.evaluation.saved_splits import SPLITS_FILE, read_splits
from mtl.evaluation.seen import CHOSEN, TRAINED, SeenRatings, has_record, read_seen, seen_pictures
from mtl.evaluation.splits import Split
from mtl.network.weights import MODEL_FILE, TrainedModel
from mtl.runtime.contents import UNREADABLE, digest_of
from mtl.runtime.files import InputError


@dataclass(frozen=True)
class Planned:
    """A database and the splits it is tested by."""

    path: Path
    """That the user gave."""
    database: Database
    splits: Mapping[str, Sequence[Split]]
    """Row numbers, by protocol."""
    contents: Sequence[str]
    """SHA-256 of each picture's file, `mtl.runtime.contents.UNREADABLE` where there is none."""
    drawn: bool = True
    """Random splits are drawn, and drawn again where pictures cannot be used."""


def check_unseen(
    rated: Sequence[Planned], models: Mapping[str, TrainedModel], *, offer_splits: bool
) -> None:
    """Refuse a benchmark in which a model is tested on pictures that it was trained on.

    Args:
        rated: the databases; with several, each is also tested as a whole.
        models: by label.
        offer_splits: whether the command has the option --splits.

    Raises:
        InputError: names the model, the database, a picture and the remedy.
    """
    for label, model in models.items():
        seen = read_seen(model.folder)
        tables = seen_pictures(seen)
        for each in rated:
            flags = np.array([digest in tables for digest in each.contents], bool)
            if not flags.any():
                continue
            if len(rated) > 1:
                raise InputError(
                    f"{each.path}: {label} was trained on {flags.sum()} of its {len(flags)}"
                    f" pictures, such as {_first(each, flags)}, and several databases are each"
                    " tested as a whole; leave out that database or that model"
                )
            _check_tests(each, label, seen, flags, _own_splits(each, model, offer_splits))


def _own_splits(rated: Planned, model: TrainedModel, offered: bool) -> Path | None:
    """Return the file with the model's own split; None where it cannot be given to --splits."""
    path = model.folder.parent / SPLITS_FILE
    if not offered or set(rated.splits) != {"random"} or not path.is_file():
        return None
    try:
        read_splits(path, rated.database.names, rated.database.references)
    except InputError:  # of another table
        return None
    return path


def _check_tests(
    rated: Planned,
    label: str,
    seen: Sequence[SeenRatings],
    flags: Bool[np.ndarray, " n"],
    own_splits: Path | None,
) -> None:
    """Refuse splits whose test parts hold pictures that the model has seen."""
    for protocol, splits in rated.splits.items():
        for split in splits:
            # Random splits test every picture sooner or later.
            tested = np.full(len(flags), protocol == "random" and rated.drawn)
            tested[split.test] = True
            leaked = tested & flags
            if not leaked.any():
                continue
            remedy = "test it on other pictures, or leave the model out"
            if own_splits is not None:
                remedy = f"test it on its own test part with --splits {own_splits}, or leave it out"
            tables = ", ".join(dict.fromkeys(each.table for each in seen))
            raise InputError(
                f"{rated.path}: {label} was trained on {leaked.sum()} pictures that the"
                f" {protocol} splits test it on, such as {_first(rated, leaked)} (by {tables});"
                f" {remedy}"
            )


def _first(rated: Planned, flags: Bool[np.ndarray, " n"]) -> str:
    return rated.database.names[int(flags.argmax())]


def remarks_on(rated: Sequence[Planned], *, progress: bool = False) -> Iterator[str]:
    """Yield lines about near-duplicates in different parts, and about pictures of two databases.

    Pictures that share a reference with others, and those of a published database, are not
    compared.
    """
    for each in rated:
        database = each.database
        if each.path.is_dir():  # a published one
            continue
        groups = Counter(database.references)
        alone = [row for row, of in enumerate(database.references) if groups[of] == 1]
        files = [database.root / database.names[row] for row in alone]
        hashes: list[int | None] = [None] * len(database)
        for row, found in zip(alone, perceptual_hashes(files, progress=progress), strict=True):
            hashes[row] = found if isinstance(found, int) else None
        splits = [split for parts in each.splits.values() for split in parts]
        pairs = look_alikes(hashes, splits)
        remark = remark_on_look_alikes(each.path, database.names, pairs)
        if remark is not None:
            yield remark
    for one, two in combinations(rated, 2):
        both = (set(one.contents) & set(two.contents)) - {UNREADABLE}
        if both:
            yield (
                f"{one.path} and {two.path}: share {len(both)} pictures; what is trained on one is"
                " tested on them in the other, which flatters"
            )


def seen_by(rated: Planned, split: Split) -> SeenRatings:
    """Return the record of the pictures that a regressor was fitted to and chosen by.

    Args:
        rated: the database.
        split: its row numbers.
    """
    pictures = {rated.contents[row]: TRAINED for row in split.train}
    pictures |= {rated.contents[row]: CHOSEN for row in split.validation}
    ratings = digest_of(rated.database.names, rated.database.scores.tolist())
    return SeenRatings(rated.path.name, ratings, pictures)


def unrecorded(folder: Path) -> bool:
    """Tell whether a model learned human scores and does not say of which pictures."""
    if has_record(folder):
        return False
    try:
        description = json.loads((folder / MODEL_FILE).read_text())
        rated = description["config"]["opinion"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        rated = False
    return rated or (folder / REGRESSOR_FILE).is_file()


UNRECORDED = (
    "does not say which pictures it was trained on (it has no seen.json): make sure that these are"
    " others"
)
