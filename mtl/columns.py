"""Columns of a table of ratings under the names that people give them, and the score's direction.

Names are compared without regard to case, blanks, underscores and hyphens: "Image Name" is
image_name. A column is found by `USUAL` names, or named with `--columns image=… score=…`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from mtl.files import SHOWN, InputError, Row

IMAGE, SCORE, REFERENCE, SET = "image", "score", "reference", "set"
REFERENCE_FILE, DISTORTION, LEVEL, STD = "reference_file", "distortion", "level", "std"

USUAL: Mapping[str, tuple[str, ...]] = {
    IMAGE: (
        "image",
        "image_name",
        "name",
        "filename",
        "dis_img_path",
        "dist_img_path",
        "dist_img",
        "img",
    ),
    SCORE: ("score", "MOS", "mos_quality", "quality_mos", "rating", "DMOS"),
    REFERENCE: ("reference",),
    SET: ("set",),
    REFERENCE_FILE: ("reference_file",),
    DISTORTION: ("distortion",),
    LEVEL: ("level",),
    STD: ("std",),
}
"""Names that each column may have."""

# Some authors' DMOS is higher for worse pictures (LIVE, CSIQ), others' is not (KADID-10k).
UNDIRECTED = "DMOS"

HigherIs = Literal["better", "worse"]

_COUNT = re.compile(r"c(\d+)", re.ASCII)


@dataclass(frozen=True)
class TableColumns:
    """What the user says of a table's columns; nothing by default."""

    named: tuple[str, ...] = ()
    """COLUMN=NAME: the table's name of image, score, reference, set, ..."""
    higher_is: HigherIs | None = None
    """Whether higher scores are better; needed for a column DMOS."""

    def __bool__(self) -> bool:
        return bool(self.named) or self.higher_is is not None

    def names(self) -> dict[str, str]:
        """Return the table's names by column.

        Raises:
            InputError: one of `named` is not of this form, names another column, or is there twice.
        """
        found: dict[str, str] = {}
        for each in self.named:
            column, equals, name = (part.strip() for part in each.partition("="))
            if not equals or not name or column not in USUAL:
                raise InputError(
                    f"--columns {each}: give COLUMN=NAME, where COLUMN is one of {' '.join(USUAL)}"
                )
            if column in found:
                raise InputError(f"--columns: names {column} twice; leave one out")
            found[column] = name
        return found


UNSAID = TableColumns()


def find_columns(
    table: Path, header: Sequence[str], columns: TableColumns = UNSAID
) -> dict[str, str]:
    """Return the table's own names of the columns that it has, by the keys of `USUAL`.

    Raises:
        InputError: no column is an image's, two columns could be one, or a named one is not there.
    """
    named = columns.names()
    plain = {_plain(name): name for name in header}
    if len(plain) < len(header):
        other = next(name for name in header if plain[_plain(name)] != name)
        raise InputError(
            f"{table}: the columns {other} and {plain[_plain(other)]} have the same name; remove"
            " one of them"
        )
    found: dict[str, str] = {}
    for column, usual in USUAL.items():
        if column in named:
            if named[column] not in header:
                raise InputError(
                    f"{table}: has no column {named[column]}; it has {listed(header)}; correct"
                    f" --columns {column}="
                )
            found[column] = named[column]
            continue
        there = [
            plain[_plain(name)]
            for name in usual
            if _plain(name) in plain and plain[_plain(name)] not in named.values()
        ]
        if len(there) > 1:
            raise InputError(
                f"{table}: {' and '.join(there)} may both be the {column}; it has"
                f" {listed(header)}; say --columns {column}={there[0]}"
            )
        if there:
            found[column] = there[0]
    if IMAGE not in found:
        raise InputError(
            f"{table}: the header is '{listed(header)}' but must hold {IMAGE}, or one of"
            f" {', '.join(USUAL[IMAGE][1:])}; name the column with --columns {IMAGE}=..."
        )
    return found


def image_column(table: Path, header: Sequence[str]) -> str:
    """Return the table's column of picture names; one that is called image comes first.

    Raises:
        InputError: there is none, or there are several.
    """
    plain = {_plain(name): name for name in header}
    there = [plain[_plain(name)] for name in USUAL[IMAGE] if _plain(name) in plain]
    if not there:
        raise InputError(
            f"{table}: the header is '{listed(header)}' but must hold {IMAGE}, or one of"
            f" {', '.join(USUAL[IMAGE][1:])}; rename the column of the pictures' names"
        )
    if len(there) > 1 and IMAGE not in plain:
        raise InputError(
            f"{table}: {' and '.join(there)} may both name the pictures; it has {listed(header)};"
            f" rename one of them to {IMAGE}"
        )
    return there[0]


def picture_names(rows: Sequence[Row], image: str) -> tuple[str, ...]:
    """Return the pictures' names.

    Raises:
        InputError: one is empty, or is there twice.
    """
    seen: dict[PurePosixPath, int] = {}  # a/b.png is ./a//b.png
    names = []
    for row in rows:
        name = row.text(image)
        if not name:
            raise row.error("names no picture; complete or remove it")
        earlier = seen.setdefault(PurePosixPath(name), row.line)
        if earlier != row.line:
            raise row.error(f"{name} is named more than once, first in line {earlier}; remove one")
        names.append(name)
    return tuple(names)


def count_columns(table: Path, header: Sequence[str]) -> tuple[str, ...]:
    """Return the columns c1, c2, ... of how many gave each rating, in order; empty without.

    Raises:
        InputError: they do not run from 1 without a gap, or there is only one.
    """
    counts: dict[int, str] = {}
    for name in header:
        match = _COUNT.fullmatch(_plain(name))
        if match is not None and counts.setdefault(int(match[1]), name) != name:
            raise InputError(
                f"{table}: the columns {counts[int(match[1])]} and {name} both count the rating"
                f" {match[1]}; remove one of them"
            )
    if not counts:
        return ()
    most = max(*counts, 2)
    lacking = [k for k in range(1, most + 1) if k not in counts]
    if lacking or 0 in counts:
        first = f"lacks c{lacking[0]}" if lacking else "begins with c0"
        raise InputError(
            f"{table}: has {counts[min(counts)]} but {first}; give the counts of all ratings, c1"
            " (worst), c2, ... without a gap, or rename a column that is no count"
        )
    return tuple(counts[k] for k in range(1, most + 1))


def check_direction(table: Path, score: str, higher_is: HigherIs | None) -> None:
    """Refuse a DMOS whose direction is not said.

    Raises:
        InputError: says the option.
    """
    if higher_is is None and UNDIRECTED.casefold() in _plain(score):
        raise InputError(
            f"{table}: {score} is higher for better pictures in some databases and for worse ones"
            " in others; say --higher-is better or --higher-is worse"
        )


def listed(header: Sequence[str]) -> str:
    """Return the columns for a message."""
    text = ",".join(header)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.casefold())
