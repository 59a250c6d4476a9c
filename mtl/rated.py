"""Pictures that people rated: a table of scores or rating counts, its split, and the pixels.

    image,score[,reference][,set]             a score on any scale, higher is better
    image,c1,c2,c3,c4,c5[,reference][,set]    how many, or which share, gave 1 (bad) ... 5 (best)

Names are relative to the table's folder. The columns may be called as in KonIQ-10k's published
table: image_name, MOS. That table's MOS is corrected for raters who use the scale differently, so
it is not the mean of the counts; a table that holds both keeps both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mtl.files import InputError, read_table, table_text
from mtl.inception_resnet_v2 import SMALLEST_SIDE
from mtl.opinion_losses import RATINGS, expected_score
from mtl.pictures import picture_size, read_picture
from mtl.splits import (
    FEWEST_PICTURES,
    Split,
    check_sides,
    check_split,
    split_by_group,
    with_validation,
)

TRAINING, VALIDATION, TEST = PARTS = ("training", "validation", "test")

IMAGE, SCORE, REFERENCE, SET = "image", "score", "reference", "set"
COUNTS = tuple(f"c{n}" for n in range(1, RATINGS + 1))

# Other names of a column, as published tables have them.
ALIASES: Mapping[str, tuple[str, ...]] = {IMAGE: ("image_name",), SCORE: ("MOS", "mos")}


@dataclass(frozen=True)
class Ratings:
    """A table of ratings, checked."""

    table: Path
    names: tuple[str, ...]
    scores: Float[np.ndarray, " n"]
    """The table's scores; without such a column the mean ratings, 1..5."""
    distributions: Float[np.ndarray, "n r"] | None
    """Shares of the ratings, each row with sum 1; None without counts."""
    references: tuple[str, ...]
    """Whose versions the pictures are; a picture of its own without such a column."""
    sets: tuple[str, ...] | None
    """The part of each picture, where the table says so."""


def read_ratings(table: Path) -> Ratings:
    """Read and check a table.

    Raises:
        InputError: names the line and the remedy: a missing column, something that is not a number,
            counts that are negative or all zero, a picture named twice, an unknown part.
    """
    rows = read_table(table, ())
    image, score = (_column(rows[0], name) for name in (IMAGE, SCORE))
    header = ",".join(str(name) for name in rows[0])[:80]
    counted = [name for name in COUNTS if name in rows[0]]
    if image is None:
        raise InputError(f"{table}: the header is '{header}' but must hold image")
    if counted and len(counted) < RATINGS:
        lacking = next(name for name in COUNTS if name not in counted)
        raise InputError(f"{table}: has {counted[0]} but lacks {lacking}; give {' '.join(COUNTS)}")
    if score is None and not counted:
        raise InputError(
            f"{table}: the header is '{header}' but must hold score, or {' '.join(COUNTS)}"
        )
    names = [(row[image] or "").strip() for row in rows]
    seen: set[str] = set()
    for line, name in enumerate(names, 2):
        if not name or name in seen:
            what = f"{name} is named more than once" if name else "names no picture"
            raise InputError(f"{table}: line {line}: {what}")
        seen.add(name)
    distributions = None
    if counted:
        counts = np.stack([_numbers(table, rows, name) for name in COUNTS], axis=1)
        sums = counts.sum(axis=1)
        for line, (low, total) in enumerate(zip(counts.min(axis=1), sums, strict=True), 2):
            if low < 0 or total <= 0:
                what = "negative" if low < 0 else "all zero"
                raise InputError(f"{table}: line {line}: the counts are {what}; remove the row")
        distributions = counts / sums[:, None]
    if score is not None:
        scores = _numbers(table, rows, score)
    else:
        assert distributions is not None  # one of the two is there
        scores = expected_score(distributions)
    sets = None
    if SET in rows[0]:
        sets = tuple((row[SET] or "").strip() for row in rows)
        for line, part in enumerate(sets, 2):
            if part not in PARTS:
                raise InputError(f"{table}: line {line}: set is {part!r}, not {', '.join(PARTS)}")
    references = tuple(
        (row.get(REFERENCE) or "").strip() or name for row, name in zip(rows, names, strict=True)
    )
    return Ratings(table, tuple(names), scores, distributions, references, sets)


def split_ratings(ratings: Ratings, seed: int) -> dict[str, np.ndarray]:
    """Return the rows of each part: as the table says, or 60/20/20 at random, by reference.

    Where the table's sets have no validation part, it is drawn from the training part.

    Raises:
        InputError: a reference is on two sides, or a part has too few pictures or one score only.
    """
    table = ratings.table
    try:
        if ratings.sets is None:
            split = split_by_group(ratings.references, seed=seed, repetition=0)
        else:
            sets = np.array(ratings.sets)
            split = Split(*(np.flatnonzero(sets == part) for part in PARTS))
            check_sides(split, ratings.references)
            if not len(split.validation) and len(split.train):
                split = with_validation(split, ratings.references, seed=seed)
        # The validation part's correlation decides which weights are kept.
        check_split(split, ratings.references, ratings.scores, fewest_validation=FEWEST_PICTURES)
    except ValueError as error:
        raise InputError(f"{table}: {error}") from error
    return dict(zip(PARTS, (split.train, split.validation, split.test), strict=True))


def splits_text(ratings: Ratings, parts: Mapping[str, np.ndarray]) -> str:
    """The split as a table: image, reference, set."""
    of = {int(row): part for part, rows in parts.items() for row in rows}
    return table_text(
        [
            {IMAGE: name, REFERENCE: ratings.references[row], SET: of[row]}
            for row, name in enumerate(ratings.names)
        ]
    )


def common_size(ratings: Ratings, size: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) of what the network is given, from the files' headers alone.

    Args:
        ratings: the table.
        size: to which all are resized; None takes them as they are.

    Raises:
        InputError: a picture is missing or is none, the sizes differ, or they are too small.
    """
    found, first = size, ""
    for name in ratings.names:
        try:
            own = picture_size(ratings.table.parent / name)
        except InputError as error:
            raise InputError(f"{error} ({ratings.table} names it)") from error
        if found is None:
            found, first = own, name
        if size is None and own != found:
            raise InputError(
                f"{ratings.table}: {first} has {found[1]}×{found[0]} pixels and {name}"
                f" {own[1]}×{own[0]}; give one size for all, such as --size 384 512"
            )
    assert found is not None  # a table has rows
    if min(found) < SMALLEST_SIDE:
        raise InputError(
            f"pictures of {found[1]}×{found[0]} pixels are below the network's"
            f" {SMALLEST_SIDE}×{SMALLEST_SIDE}; choose a larger --size"
        )
    return found


def resized(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int] | None
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The picture at (height, width), each pixel the mean of its area; None leaves it as it is.

    Enlarging, OpenCV's area mode interpolates linearly. The shape is not kept, as KonIQ-10k's
    section 6.2.1 resizes 500×500 pictures to 512×384.
    """
    if size is None or image.shape[:2] == size:
        return image
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)


class RatedImages:
    """Some rated pictures: random access to pixels and training targets.

    Args:
        folder: that the names are relative to.
        names: of the pictures.
        targets: what the network learns of each.
        size: (height, width) of all of them.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        targets: Float[np.ndarray, "n k"],
        size: tuple[int, int],
    ):
        self.size = size
        self._folder, self._names, self._targets = folder, tuple(names), targets

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        image = resized(read_picture(self._folder / self._names[index]), self.size)
        return {"image": image, "target": self._targets[index].astype(np.float32)}


def _column(row: Mapping[str, str], name: str) -> str | None:
    """The name under which the table has a column."""
    return next((found for found in (name, *ALIASES[name]) if found in row), None)


def _numbers(table: Path, rows: Sequence[Mapping[str, str]], column: str) -> np.ndarray:
    values = []
    for line, row in enumerate(rows, 2):
        try:
            value = float(row[column])
        except (TypeError, ValueError):
            value = float("nan")
        if not np.isfinite(value):
            raise InputError(f"{table}: line {line}: {column} {row[column]!r} is not a number")
        values.append(value)
    return np.array(values)
