"""The splits of a benchmark: made and checked before anything expensive begins.

Protocols: random, 60/20/20 by reference (DeepFL-IQA, section V-B); official, the sets of the
database's table; opposing, KonIQ-10k-LT's (mlsp.evaluation.imbalance).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from mlsp.databases import Database
from mlsp.evaluation.benchmarking import random_splits
from mlsp.evaluation.imbalance import ScoreScale, opposing_split
from mtl.evaluation.saved_splits import read_splits
from mtl.evaluation.splits import (
    FEWEST_GROUPS,
    FEWEST_PICTURES,
    Split,
    check_sides,
    check_split,
    with_validation,
)
from mtl.ratings.rated import TEST, TRAINING, VALIDATION
from mtl.runtime.files import InputError
from mtl.runtime.progress import say

Protocol = Literal["random", "official", "opposing"]


@dataclass(frozen=True)
class Opened:
    """Hold a database and the path that the user gave."""

    path: Path
    database: Database


def planned_splits(
    opened: Opened,
    protocol: Protocol,
    repetitions: int,
    *,
    seed: int,
    ends: Mapping[str, float],
    saved: Path | None = None,
    progress: bool = False,
) -> list[Split]:
    """Return the splits of all of a database's pictures by one protocol.

    Args:
        opened: the rated pictures.
        protocol: how to split.
        repetitions: how often; once by the official protocol.
        seed: of what is drawn.
        ends: the lowest and the highest possible score, for the opposing protocol.
        saved: a file of splits in the place of random ones.
        progress: report on standard error.

    Raises:
        InputError: the database cannot be split so, or a split cannot be used.
    """
    path, database = opened.path, opened.database
    references = database.references
    if np.ptp(database.scores) == 0:
        raise InputError(
            f"{path}: all scores are {database.scores[0]:g}; there is nothing to learn"
        )
    if saved is not None:
        path, found = saved, read_splits(saved, database.names, references)
        say(f"{saved}: {len(found.splits)} splits, {found.sha256[:12]}", show=progress)
        splits = found.splits[:repetitions]
        if not splits:
            raise InputError(f"{saved}: holds no split; write it again")
    elif protocol == "random":
        number = len(set(references))
        if number < FEWEST_GROUPS:
            raise InputError(
                f"{path}: rates pictures of {number} reference(s); at least {FEWEST_GROUPS} are"
                " needed, one each to train, validate and test"
            )
        # A small test part has no correlation, which is counted.
        return random_splits(references, repetitions, seed=seed)
    elif protocol == "official":
        splits = [_official(opened, seed, progress)]
    else:
        splits = [_opposing(opened, ends, seed=seed, repetition=k) for k in range(repetitions)]
    fewest = 1 if saved is not None else FEWEST_PICTURES  # saved ones may have been random
    for split in splits:
        try:
            check_split(split, references, database.scores, fewest=fewest)
        except ValueError as error:
            raise InputError(f"{path}: {protocol} split: {error}") from error
    return splits


def usable_splits(
    opened: Opened,
    splits: Sequence[Split],
    rows: Int[np.ndarray, " u"],
    *,
    seed: int,
    drawn: bool,
    progress: bool = False,
) -> list[Split]:
    """Return splits of the pictures that can be used, as row numbers of the database.

    Where pictures cannot be used, random splits are drawn of the others. Other splits are kept
    without these pictures; one that loses its validation part gets another, and one that loses its
    training or test part is left out, which is said.

    Args:
        opened: the database.
        splits: as `planned_splits` made them.
        rows: of the database, those that can be used, rising.
        seed: of what is drawn.
        drawn: draw again at random.
        progress: report on standard error.

    Raises:
        InputError: no split is left.
    """
    path, references = opened.path, opened.database.references
    if len(rows) == len(references):
        return list(splits)
    if drawn:
        try:
            found = random_splits([references[row] for row in rows], len(splits), seed=seed)
        except InputError as error:
            raise InputError(f"{path}: {error}; the others are left out, see above") from error
        return [Split(*(rows[part] for part in _parts(split))) for split in found]
    kept = []
    for number, split in enumerate(splits):
        parts = Split(*(part[np.isin(part, rows)] for part in _parts(split)))
        if len(parts.train) and not len(parts.validation):
            with suppress(ValueError):  # too few references to draw from
                parts = with_validation(parts, references, seed=seed)
        if all(len(part) for part in _parts(parts)):
            kept.append(parts)
        else:
            say(f"{path}: split {number} loses a part and is left out, see above", show=progress)
    if not kept:
        raise InputError(
            f"{path}: no split has pictures that can be used in all of its parts, see above"
        )
    return kept


def _parts(split: Split) -> tuple[Int[np.ndarray, " n"], ...]:
    return split.train, split.validation, split.test


def _official(opened: Opened, seed: int, progress: bool) -> Split:
    """Return the split of the table's column `set`."""
    path, database = opened.path, opened.database
    if database.sets is None:
        raise InputError(
            f"{path}: has no official split; add a column set that says training, validation or"
            " test, or leave out --protocol official"
        )
    of = np.array(database.sets)
    split = Split(*(np.flatnonzero(of == part) for part in (TRAINING, VALIDATION, TEST)))
    if len(split.validation) or not len(split.train):
        return split
    try:
        check_sides(split, database.references)
        drawn = with_validation(split, database.references, seed=seed)
    except ValueError as error:
        raise InputError(f"{path}: official split: {error}") from error
    say(
        f"{path}: has no validation part; {len(drawn.validation)} of its {len(split.train)}"
        f" training pictures validate instead, drawn with --seed {seed}",
        show=progress,
    )
    return drawn


def _opposing(opened: Opened, ends: Mapping[str, float], *, seed: int, repetition: int) -> Split:
    """Return KonIQ-10k-LT's split between the ends of the database's own scale."""
    database = opened.database
    try:
        return opposing_split(
            database.scores,
            seed=seed,
            repetition=repetition,
            references=database.references,
            scale=ScoreScale(**ends),
        )
    except InputError as error:
        raise InputError(f"{opened.path}: {error}") from error
