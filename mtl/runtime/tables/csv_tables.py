"""Tables as CSV: read strictly, with the line of every mistake, and written as they are read.

The standard reader is used, not `pandas.read_csv`: that fills rows that are too short, cuts a first
row that is too long, tells no line numbers, and as text takes no names that are not UTF-8.
`DataFrame.to_csv` drops fields that have no column and does not tell NaN from an empty field.
"""

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl.runtime.files import InputError

# What may separate the fields of a table.
DELIMITERS = (",", ";", "\t")

SHOWN = 400  # characters of a header in a message

# A number as tables have it; the groups are its decimal mark. Python's float() takes more: 4_5, the
# digits of other scripts, nan.
NUMBER = re.compile(r"[+-]?(?:\d+(?:([.,])\d*)?|([.,])\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# Python reads no whole number of thousands of digits; nine are enough for a table.
_WHOLE_NUMBER = re.compile(r"[+-]?0*\d{1,9}", re.ASCII)
_ZEROS = re.compile(r"\.0*$", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_MARKS = {".": "point", ",": "comma"}


def plain_name(column: str) -> str:
    """Return a column's name without its case, blanks, underscores and hyphens."""
    return re.sub(r"[\s_-]", "", column.casefold())


class Row(dict[str, str]):
    """A row of a table: its fields by column, as they are written, and the place they stand at."""

    __slots__ = ("_layout", "line")

    def __init__(self, layout: "_Layout", line: int, fields: Sequence[str]):
        super().__init__(zip(layout.columns, fields, strict=True))
        self._layout = layout
        self.line = line
        """Number of its first line in the file, from 1, as an editor shows it."""

    def error(self, problem: str) -> InputError:
        """Return the error that names the file, this line and the problem."""
        return InputError(f"{self._layout.path}: line {self.line}: {problem}")

    def text(self, column: str) -> str:
        """Return a field without blanks around it; empty where there is no such column."""
        return self.get(column, "").strip()

    def number(self, column: str, *, finite: bool = True) -> float:
        """Return a field as a number: digits, with a decimal point or, where allowed, a comma.

        A decimal comma is read where semicolons or tabs separate the fields and every number that
        is read of the table has one, or no mark at all.

        Args:
            column: its name.
            finite: refuse NaN and infinity, which are otherwise read from `nan` and `inf`.

        Raises:
            InputError: the field holds something else.
        """
        written = self[column]
        text = written.strip()
        match = NUMBER.fullmatch(text)
        if match is None:
            if not finite and _NOT_FINITE.fullmatch(text) is not None:
                return float(text)
            raise self.error(
                f"{column} {_shown(written)!r} is not a number; write digits and a decimal point,"
                " or remove the row"
            )
        mark = match[1] or match[2]
        if mark is not None:
            self._layout.check_mark(self, column, mark)
        value = float(text.replace(",", "."))
        if not math.isfinite(value):
            raise self.error(
                f"{column} {_shown(written)!r} is too large a number; correct or remove it"
            )
        return value

    def whole_number(self, column: str, *, zeros: bool = False) -> int:
        """Return a field as a whole number of up to nine digits.

        Args:
            column: its name.
            zeros: take 2.0 as well, as pandas writes whole numbers beside empty fields.

        Raises:
            InputError: the field holds something else.
        """
        text = self.text(column)
        if zeros:
            text = _ZEROS.sub("", text)
        if _WHOLE_NUMBER.fullmatch(text) is None:
            raise self.error(
                f"{column} {_shown(self[column])!r} is no whole number; correct or empty it"
            )
        return int(text)


class _Layout:
    """The columns of one table, what separates them, and its decimal mark once it is known."""

    def __init__(self, path: Path, columns: Sequence[str], delimiter: str):
        self.path, self.columns, self.delimiter = path, columns, delimiter
        self._mark: str | None = None
        self._seen = 0  # the line that showed the mark

    def check_mark(self, row: Row, column: str, mark: str) -> None:
        """Raise an InputError unless the table's numbers all have one decimal mark, and may."""
        if mark == self._mark:
            return
        where = f"{column} {row[column]!r} has a decimal {_MARKS[mark]}"
        if self._mark is not None:
            raise row.error(
                f"{where}, but line {self._seen} a decimal {_MARKS[self._mark]}; use one of them"
                " in the whole table"
            )
        if mark == self.delimiter:
            raise row.error(
                f"{where}, and commas separate the fields; write a point, or separate the fields"
                " by semicolons"
            )
        self._mark, self._seen = mark, row.line


def read_table(
    path: str | os.PathLike, required: Iterable[str], optional: Iterable[str] = ()
) -> list[Row]:
    """Read a CSV file whose header must hold the `required` columns and may hold `optional` ones.

    These are found whatever their case, blanks, underscores and hyphens, and the rows have them
    under the names that are asked for; other columns keep their names.

    The fields are separated by commas, semicolons or tabs: the one that the header line holds
    outside quotes, or, where it holds several, the one that parts it into fields with all required
    columns. UTF-8, with or without a byte order mark; quotes and line breaks within them are those
    of RFC 4180.

    Raises:
        InputError: the file is missing, is not text, has another header, has no rows, or a row has
            more or fewer fields than the header.
    """
    return list(table_rows(path, required, optional))


def table_rows(
    path: str | os.PathLike, required: Iterable[str], optional: Iterable[str] = ()
) -> Iterator[Row]:
    """Yield the rows that `read_table` reads, one at a time; errors are raised on the way."""
    path, required = Path(path), tuple(required)
    empty = True
    if not path.is_file():
        problem = "is no plain file" if path.exists() else "no such file"
        raise InputError(f"{path}: {problem}; give a CSV file with a header line")
    line = 1
    try:
        # Names of files are bytes: those that are not UTF-8 come back as the names they were.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = _text_lines(path, file)
            header, above = _header(lines)
            delimiter = _delimiter(path, header, required)
            columns = _columns(path, header, delimiter, required, tuple(optional))
            layout = _Layout(path, columns, delimiter)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            line = above + 1
            for fields in reader:
                if any(map(str.strip, fields)) or len(fields) > 1:  # else it is a blank line
                    empty = False
                    if len(fields) != len(columns):
                        raise _miscounted(layout, line, fields, header)
                    yield Row(layout, line, fields)
                line = above + reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}: line {line}: is not CSV text ({error}); correct its quotes"
        ) from error
    if empty:
        raise InputError(f"{path}: has a header but no rows; add one row per picture")


def table_header(path: str | os.PathLike) -> list[str]:
    """Return the columns of a CSV file.

    Raises:
        InputError: the file has no header line that `read_table` takes.
    """
    path = Path(path)
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        header, _ = _header(_text_lines(path, file))
    return _columns(path, header, _delimiter(path, header, ()))


def _text_lines(path: Path, file: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a file; what is no UTF-8 text holds zeros, as UTF-16 does."""
    for line in file:
        if "\0" in line:
            raise InputError(
                f"{path}: is not a CSV text file (it holds zero bytes); save a spreadsheet as"
                " 'CSV UTF-8'"
            )
        yield line


def _header(lines: Iterator[str]) -> tuple[str, int]:
    """Return the text of the header, and the number of lines down to its end."""
    header, above = "", 0
    for line in lines:
        header, above = header + line, above + 1
        # Within quotes the header goes on in the next line; blank lines above it say nothing.
        if header.strip() and header.count('"') % 2 == 0:
            break
    return header.strip("\r\n"), above


def _delimiter(path: Path, header: str, required: Sequence[str]) -> str:
    """Return what separates the fields, by the rule that `read_table` states."""
    outside = _QUOTED.sub("", header)
    several = [delimiter for delimiter in DELIMITERS if delimiter in outside]
    if len(several) > 1 and required:
        asked = {plain_name(name) for name in required}
        several = [d for d in several if asked <= set(map(plain_name, _parted(header, d)))]
    if len(several) > 1:
        raise InputError(
            f"{path}: cannot tell what separates the fields of the header '{_shown(header)}'; use"
            " commas, semicolons or tabs alone"
        )
    return several[0] if several else DELIMITERS[0]


def _parted(header: str, delimiter: str) -> list[str]:
    try:
        fields = next(csv.reader([header], delimiter=delimiter, strict=True), [])
    except csv.Error:  # it stands beside quotes, within a field
        return []
    return [field.strip() for field in fields]


def _columns(
    path: Path,
    header: str,
    delimiter: str,
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> list[str]:
    """Return the columns of a header, all of which have names that differ."""
    columns = _parted(header, delimiter)
    if header.strip() and not columns:
        raise InputError(
            f"{path}: the header '{_shown(header)}' is not CSV text; correct its quotes"
        )
    for name in (*required, *optional):
        alike = [place for place, its in enumerate(columns) if plain_name(its) == plain_name(name)]
        if name not in columns and len(alike) > 1:
            raise InputError(
                f"{path}: {' and '.join(columns[place] for place in alike)} may both be the column"
                f" {name}; rename one of them"
            )
        if name not in columns and alike:
            columns[alike[0]] = name
    missing = [name for name in required if name not in columns]
    if missing:
        raise InputError(
            f"{path}: the header is '{_shown(header)}' but must hold {', '.join(required)};"
            f" {missing[0]} is missing"
        )
    places: dict[str, int] = {}
    for place, name in enumerate(columns, 1):
        if not name:
            raise InputError(
                f"{path}: column {place} of the header '{_shown(header)}' has no name; name or"
                " remove it"
            )
        earlier = places.setdefault(name.casefold(), place)
        if earlier != place:
            raise InputError(
                f"{path}: the header names {name} twice, in the columns {earlier} and {place};"
                " remove one of them"
            )
    if not columns:
        raise InputError(f"{path}: is empty; give a CSV file with a header line")
    return columns


def _miscounted(layout: _Layout, line: int, fields: Sequence[str], header: str) -> InputError:
    """Return the error about a row that has more or fewer fields than the header."""
    known, comma = len(layout.columns), layout.delimiter == ","
    remedy = "complete it or remove it"
    if len(fields) > known == 1:
        remedy = f"remove what stands above the header, if '{_shown(header)}' is none"
    elif len(fields) > known and not any(map(str.strip, fields[known:])):
        remedy = f"remove the {'comma' if comma else 'separator'} at the end"
    elif len(fields) == known + 1 and _WHOLE_NUMBER.fullmatch(fields[0].strip()):
        remedy = f"name the column of {fields[0].strip()!r} in the header, as R does not"
    elif len(fields) > known:
        remedy = "quote a field that holds the separator"
        if comma:
            remedy = "write decimal points instead of commas, or quote a field that holds a comma"
    return InputError(
        f"{layout.path}: line {line}: has {len(fields)} field{'s' if len(fields) > 1 else ''}, not"
        f" the header's {known}; {remedy}"
    )


def _shown(text: str) -> str:
    """Return a header or a field for a message, cut where it is long."""
    text = re.sub(r"[\r\n]+", " ", text)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


class _RowEnds:
    """Takes the rows of a csv writer, which end in CR LF as RFC 4180 says, and ends them in LF.

    A writer whose own rows end in LF leaves a CR in a field without quotes, and no reader gets it
    back.
    """

    def __init__(self, file: io.TextIOBase):
        self._file = file

    def write(self, row: str) -> None:
        self._file.write(row.removesuffix("\r\n") + "\n")


def write_rows(file: io.TextIOBase, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows of fields as CSV with Unix line ends, which `read_table` reads back as they are.

    Args:
        file: opened with newline="", if it is one on the disk.
        rows: the header, then the fields of each row.
    """
    csv.writer(_RowEnds(file), lineterminator="\r\n").writerows(rows)


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return CSV text with a header line; the first row's keys, of one row at least, are its."""
    text = io.StringIO()
    writer = csv.DictWriter(_RowEnds(text), fieldnames=list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
