"""Pictures that people rated: a table of scores or rating counts, its split, and the pixels.

    image,score[,reference][,set][,std]     a score on any scale
    image,c1,c2,c3,c4,c5[,reference][,set]  how many, or which share, gave 1 (bad) ... 5 (best)

Any number of ratings from 2 on can be counted: c1 ... c10 are AVA's ten. Names are relative to the
table's folder. The columns may have other names, as published tables have them:
`mtl.runtime.tables.columns`. KonIQ-10k's MOS is corrected for raters who use the scale differently,
so it is not the mean of the counts; a table that holds both keeps both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mtl.evaluation.splits import (
    FEWEST_PICTURES,
    Split,
    check_sides,
    check_split,
    split_by_group,
    with_validation,
)
from mtl.ratings.distributions import RATINGS, expected_score
from mtl.ratings.rating_scales import NO_STD, check_same_direction, scale_and_deviations
from mtl.runtime.file_names import plain_path
from mtl.runtime.files import InputError
from mtl.runtime.pictures import picture_size, read_picture
from mtl.runtime.tables.columns import (
    DISTORTION,
    IMAGE,
    LEVEL,
    REFERENCE,
    REFERENCE_FILE,
    SCORE,
    SET,
    UNSAID,
    USUAL,
    TableColumns,
    check_direction,
    count_columns,
    find_columns,
    listed,
    picture_names,
)
from mtl.runtime.tables.csv_tables import Row, read_table, table_text

TRAINING, VALIDATION, TEST = PARTS = ("training", "validation", "test")

COUNTS = tuple(f"c{n}" for n in range(1, RATINGS + 1))
"""Columns of the counts of five ratings."""

AS_PUBLISHED = "as published"


@dataclass(frozen=True)
class Ratings:
    """A table of ratings, checked; sequences have one entry per row."""

    table: Path
    names: tuple[str, ...]
    scores: Float[np.ndarray, " n"]
    """Higher is better: the table's scores, or the mean ratings 1..K where it has only counts."""
    distributions: Float[np.ndarray, "n k"] | None
    """Shares of the ratings 1 (bad) ... K (best), each row with sum 1; None without counts."""
    references: tuple[str, ...]
    """Whose versions the pictures are; a picture of its own without such a column."""
    sets: tuple[str, ...] | None
    """The part of each picture, where the table says so."""
    original: Float[np.ndarray, " n"] | None = None
    """The scores as they are in the table; None where they are those of `scores`."""
    transformation: str = AS_PUBLISHED
    """How `scores` came from `original`: "as published", or such as "-DMOS"."""
    deviations: Float[np.ndarray, " n"] | None = None
    """Standard deviations of the single ratings, in the unit of `scores`; None without them."""
    no_deviations: str = NO_STD
    """Why there are no deviations, in words; empty where there are."""
    reference_files: tuple[str | None, ...] = ()
    """Pristine picture of each, where the table says so; empty without such a column."""
    distortions: tuple[str | None, ...] = ()
    """Names of the distortion types; empty without such a column."""
    levels: tuple[int | None, ...] = ()
    """Amounts of the distortions; empty without such a column."""
    columns: tuple[str, ...] = ()
    """All columns of the table."""
    scale: tuple[float, float] | None = None
    """Ends of the scale of the scores, where the table tells them."""

    @property
    def lowest(self) -> float:
        """The lower end of the scale of the scores; the lowest score where none is known."""
        return float(self.scores.min()) if self.scale is None else self.scale[0]

    @property
    def highest(self) -> float:
        """The upper end of the scale of the scores; the highest score where none is known."""
        return float(self.scores.max()) if self.scale is None else self.scale[1]


def read_ratings(table: Path, columns: TableColumns = UNSAID) -> Ratings:
    """Read and check a table.

    A score that is higher for worse pictures becomes its negative; counts are turned round.

    Args:
        table: CSV file.
        columns: what the user says of its columns.

    Raises:
        InputError: names the line and the remedy: a missing column, something that is not a number,
            counts that are negative or all zero, a negative std, a picture named twice, an unknown
            part, a DMOS without its direction.
    """
    rows = read_table(table, ())
    header = list(rows[0])
    found = find_columns(table, header, columns)
    counted = count_columns(table, header, found)
    score = found.get(SCORE)
    if score is None and not counted:
        raise InputError(
            f"{table}: the header is '{listed(header)}' but must hold score, or"
            f" {' '.join(COUNTS)}, or one of {', '.join(USUAL[SCORE][1:])}; name the column with"
            f" --columns {SCORE}=..."
        )
    worse = columns.higher_is == "worse"
    if score is not None:
        check_direction(table, score, columns.higher_is)
        if worse and counted:
            raise InputError(
                f"{table}: --higher-is worse: has {score} beside {counted[0]} ... {counted[-1]},"
                " which may run the other way; remove one of them"
            )
    names = picture_names(table, rows, found[IMAGE])
    distributions = None
    if counted:
        distributions = _distributions(rows, counted[::-1] if worse else counted)
    if score is not None:
        original = np.array([row.number(score) for row in rows])
        if distributions is not None:
            check_same_direction(table, score, original, distributions)
        scores = -original if worse else original
        transformation = f"-{score}" if worse else AS_PUBLISHED
    else:
        assert distributions is not None  # one of the two is there
        original, scores = None, expected_score(distributions)
        transformation = f"c1 is best, {counted[-1]} worst" if worse else AS_PUBLISHED
    # The scale is that of the scores as they are; a change of sign keeps the unit.
    scale, deviations, no_deviations = scale_and_deviations(
        rows, found, scores if original is None else original, distributions
    )
    if scale is not None and worse and original is not None:
        scale = (-scale[1], -scale[0])
    return Ratings(
        table,
        names,
        scores,
        distributions,
        _references(rows, found, names),
        _sets(rows, found.get(SET)),
        original,
        transformation,
        deviations,
        no_deviations,
        _optional_texts(rows, found.get(REFERENCE_FILE)),
        _optional_texts(rows, found.get(DISTORTION)),
        _levels(rows, found.get(LEVEL)),
        tuple(header),
        scale,
    )


def _distributions(rows: Sequence[Row], counted: Sequence[str]) -> Float[np.ndarray, "n k"]:
    """Return the shares of the ratings, from the worst to the best."""
    counts = np.array([[row.number(name) for name in counted] for row in rows])
    with np.errstate(over="ignore"):  # such a sum is refused
        sums = counts.sum(axis=1)
    for row, low, total in zip(rows, counts.min(axis=1), sums, strict=True):
        if low < 0 or total <= 0:
            what = "negative" if low < 0 else "all zero"
            raise row.error(f"the counts are {what}; remove the row")
        if not np.isfinite(total):
            raise row.error("the counts are too large; correct or remove the row")
    return counts / sums[:, None]


def _references(
    rows: Sequence[Row], found: Mapping[str, str], names: Sequence[str]
) -> tuple[str, ...]:
    """Return whose versions the pictures are: by reference, by reference_file, or their own."""
    columns = [found[column] for column in (REFERENCE, REFERENCE_FILE) if column in found]
    said = (next(filter(None, (row.text(column) for column in columns)), "") for row in rows)
    return tuple(plain_path(one) or name for one, name in zip(said, names, strict=True))


def _sets(rows: Sequence[Row], column: str | None) -> tuple[str, ...] | None:
    if column is None:
        return None
    for row in rows:
        if row.text(column) not in PARTS:
            raise row.error(f"{column} is {row[column]!r}, not {', '.join(PARTS)}; correct it")
    return tuple(row.text(column) for row in rows)


def _optional_texts(rows: Sequence[Row], column: str | None) -> tuple[str | None, ...]:
    return () if column is None else tuple(row.text(column) or None for row in rows)


def _levels(rows: Sequence[Row], column: str | None) -> tuple[int | None, ...]:
    if column is None:
        return ()
    return tuple(row.whole_number(column, zeros=True) if row.text(column) else None for row in rows)


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


NAMED = 10  # of the pictures that cannot be used


def common_size(
    ratings: Ratings, size: tuple[int, int] | None, smallest_side: int
) -> tuple[int, int]:
    """(height, width) of what the network is given, from the files' headers alone.

    Args:
        ratings: the table.
        size: to which all are resized; None takes them as they are.
        smallest_side: pixels that the network needs at least.

    Raises:
        InputError: a picture is missing or is none, the sizes differ, or they are too small.
    """
    found, first = size, ""
    sizes, faults = {}, []
    for name in ratings.names:
        try:
            sizes[name] = picture_size(ratings.table.parent / name)
        except InputError as error:
            faults.append((name, error))
    if faults:
        others = ", ".join(name for name, _ in faults[1:NAMED])
        more = f"; it also names {others}" if others else ""
        more += f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise InputError(f"{faults[0][1]} ({ratings.table} names it){more}") from faults[0][1]
    for name, own in sizes.items():
        if found is None:
            found, first = own, name
        if size is None and own != found:
            raise InputError(
                f"{ratings.table}: {first} has {found[1]}×{found[0]} pixels and {name}"
                f" {own[1]}×{own[0]}; give one size for all, such as --size 384 512"
            )
    assert found is not None  # a table has rows
    if min(found) < smallest_side:
        raise InputError(
            f"pictures of {found[1]}×{found[0]} pixels are below the network's"
            f" {smallest_side}×{smallest_side}; choose a larger --size"
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
