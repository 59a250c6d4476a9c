"""Columns of a table of ratings under the names that people give them, and the score's direction.

Names are compared without regard to case, blanks, underscores and hyphens: "Image Name" is
image_name. A column is found by `USUAL` names, or named with `--columns image=… score=…`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtl.runtime.file_names import same_pictures
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import SHOWN, Row, plain_name

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
        "dist_name",
        "img",
    ),
    SCORE: ("score", "MOS", "mos_quality", "quality_mos", "rating", "DMOS"),
    REFERENCE: ("reference", "ref_img", "ref_name", "ref_img_path"),
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

# A count of ratings. Python reads no number of thousands of digits; nine are enough.
_COUNT = re.compile(r"[cC]0*(\d{1,9})", re.ASCII)


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
            InputError: one of `named` is not of this form, names an unknown column, or one is named
                twice.
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
            other = next((known for known, its in found.items() if its == name), None)
            if other is not None:
                raise InputError(
                    f"--columns: {name} is named for {other} and for {column}; name a column for"
                    " one of them"
                )
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
        there = [name for name in _usual_columns(header, usual) if name not in named.values()]
        if len(there) > 1 and plain_name(there[0]) == plain_name(there[1]):
            raise InputError(
                f"{table}: the columns {there[0]} and {there[1]} have the same name; remove one of"
                f" them, or say --columns {column}={there[0]}"
            )
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
    there = _usual_columns(header, USUAL[IMAGE])
    if not there:
        raise InputError(
            f"{table}: the header is '{listed(header)}' but must hold {IMAGE}, or one of"
            f" {', '.join(USUAL[IMAGE][1:])}; rename the column of the pictures' names"
        )
    first = [name for name in there if plain_name(name) == IMAGE]
    if len(first or there) > 1:
        raise InputError(
            f"{table}: {' and '.join(first or there)} may both name the pictures; it has"
            f" {listed(header)}; rename one of them{'' if first else f' to {IMAGE}'}"
        )
    return (first or there)[0]


def _usual_columns(header: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Return the table's columns that have one of the usual names, in the order of these."""
    return [column for name in usual for column in header if plain_name(column) == plain_name(name)]


def picture_names(table: Path, rows: Sequence[Row], image: str) -> tuple[str, ...]:
    """Return the pictures' names, which are relative to the table's folder.

    Raises:
        InputError: one is empty, or a picture is there twice, be it by another spelling or a link.
    """
    names = tuple(row.text(image) for row in rows)
    for row, name in zip(rows, names, strict=True):
        if not name:
            raise row.error("names no picture; complete or remove it")
    twice = same_pictures(table.parent, names)
    if twice is not None:
        place, earlier = twice
        as_ = "" if names[earlier] == names[place] else f" as {names[earlier]}"
        raise rows[place].error(
            f"{names[place]} is named more than once, first in line {rows[earlier].line}{as_};"
            " remove one"
        )
    return names


def count_columns(table: Path, header: Sequence[str], found: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns c1, c2, ... of how many gave each rating, in order; empty without.

    A count's name is c and its number, such as c1, C1 or c01. Beside a score, such columns are
    others' (a camera c12) where neither c1 nor several from c2 on are there.

    Args:
        table: for messages.
        header: all columns.
        found: those that are known as others, by the keys of `USUAL`.

    Raises:
        InputError: they do not run from 1 without a gap, or there is only one.
    """
    counts: dict[int, str] = {}
    for name in header:
        match = _COUNT.fullmatch(name)
        if match is None or name in found.values():
            continue
        if counts.setdefault(int(match[1]), name) != name:
            raise InputError(
                f"{table}: the columns {counts[int(match[1])]} and {name} both count the rating"
                f" {int(match[1])}; remove one of them"
            )
    if not counts or (SCORE in found and 1 not in counts and not (2 in counts and len(counts) > 1)):
        return ()
    gap = next((k for k in range(1, max(len(counts), 2) + 1) if k not in counts), None)
    if gap is not None:
        first = "begins with c0" if {0, 1} <= counts.keys() else f"lacks c{gap}"
        raise InputError(
            f"{table}: has {counts[min(counts)]} but {first}; give the counts of all ratings, c1"
            " (worst), c2, ... without a gap, or rename a column that is no count"
        )
    return tuple(counts[k] for k in range(1, len(counts) + 1))


def check_direction(table: Path, score: str, higher_is: HigherIs | None) -> None:
    """Refuse a DMOS whose direction is not said.

    Raises:
        InputError: says the option.
    """
    if higher_is is None and UNDIRECTED.casefold() in plain_name(score):
        raise InputError(
            f"{table}: {score} is higher for better pictures in some databases and for worse ones"
            " in others; say --higher-is better or --higher-is worse"
        )


def named_like(header: Iterable[str], name: str) -> str | None:
    """Return the table's column of a name, however it is spelled; None without one."""
    return next((each for each in header if plain_name(each) == plain_name(name)), None)


def listed(header: Sequence[str]) -> str:
    """Return the columns for a message."""
    text = ",".join(header)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."
