"""Which database a folder holds, told by its authors' files; then what all are checked for."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from mlsp.databases.authentic import LIVEC_PRACTICE, read_csv, read_koniq, read_livec
from mlsp.databases.author_files import AGAIN, Finder, missing_files
from mlsp.databases.database import Database
from mlsp.databases.layouts import DATABASES, Layout
from mlsp.databases.synthetic import (
    is_kadid,
    read_csiq,
    read_kadid,
    read_live,
    read_tid2008,
    read_tid2013,
    tid_edition,
)
from mtl.runtime.file_names import same_pictures
from mtl.runtime.files import InputError
from mtl.runtime.tables.columns import UNSAID, TableColumns
from mtl.runtime.tables.csv_tables import table_header

CSV = "csv"
"""The kind of a user's own table."""

# What to do with a table of one's own that looks like one of theirs.
_OWN: Mapping[str, str] = MappingProxyType(
    {
        "kadid10k": "if it is a table of your own, give {table} with --database csv --higher-is"
        " better --columns std=var",
        "koniq10k": "if it is a table of your own, give {table} with --database csv",
    }
)

Reader = Callable[[Finder, Path], Database]

_READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "live": read_live,
        "csiq": read_csiq,
        "tid2008": read_tid2008,
        "tid2013": read_tid2013,
        "kadid10k": read_kadid,
        "livec": read_livec,
        "koniq10k": read_koniq,
        CSV: read_csv,
    }
)


def open_database(
    path: str | os.PathLike,
    kind: str | None = None,
    *,
    check_files: bool = True,
    practice_pictures: bool = False,
    columns: TableColumns = UNSAID,
) -> Database:
    """Read a database's tables and check them, and that its pictures are there.

    Args:
        path: the folder as its authors distribute it, or the folder that its archive was unpacked
            in; a CSV file, for which see `mlsp.databases.authentic.read_csv`; or the CSV table
            itself of KADID-10k or KonIQ-10k.
        kind: a key of `DATABASES`, or "csv"; told by the authors' files when not given.
        check_files: whether every picture must be there. Pictures are not decoded.
        practice_pictures: LIVE in the Wild with the seven pictures that raters practised on, 1,169
            in all; the literature uses the other 1,162.
        columns: what the user says of the columns of a CSV file of the kind "csv"; the others have
            their authors' columns.

    Raises:
        InputError: the folder is none or several of the known ones, a table is missing, damaged or
            altered, the counts are not the authors', a picture is named twice, or pictures are
            missing.
    """
    path = Path(path)
    if kind is not None and kind not in _READERS:
        raise InputError(f"{kind}: is no known database; known are {' '.join(_READERS)}")
    if not path.exists():
        raise InputError(
            f"{path}: no such folder or file; `deepfl benchmark --download-help` says where"
            " databases are obtained"
        )
    if not path.is_file() and not path.is_dir():
        raise InputError(
            f"{path}: is neither a folder nor a file that can be read twice; give the database's"
            " folder, or a CSV file"
        )
    asked = kind
    kind, table = _kind_of_file(path, kind) if path.is_file() else _kind_of_folder(path, kind)
    reader = _READERS[kind]
    if practice_pictures:
        if kind != "livec":
            raise InputError(
                f"{path}: only LIVE in the Wild has practice pictures, {kind} has none"
            )
        reader = partial(read_livec, practice=True)
    if kind == CSV:
        reader = partial(read_csv, columns=columns)
    elif columns and path.is_file():
        raise InputError(
            f"{path}: is the table of {DATABASES[kind].title}, whose columns are known; leave out"
            " --columns and --higher-is, or say --database csv"
        )
    layout = DATABASES.get(kind)
    root = table.parent.parent if kind == "livec" else table.parent
    finder = Finder(root)
    try:
        database = reader(finder, table)
        _check_names(table, database)
        if layout is not None:
            extra = LIVEC_PRACTICE if practice_pictures else 0
            _check_counts(table, database, layout, layout.pictures + extra)
            _check_scale(table, database, layout)
    except InputError as error:
        # A part of a database, or another table under its name or header, is the user's own.
        if asked is None and kind in _OWN:
            raise InputError(f"{error}; {_OWN[kind].format(table=table)}") from error
        raise
    pictures = [*database.names, *(file for file in database.reference_files if file)]
    problem = missing_files(finder, pictures) if check_files else None
    if problem:
        remedy = AGAIN if layout else f"correct {table.name} or put them there"
        raise InputError(f"{root}: {problem}; {remedy}")

    def spelled(name: str) -> str:
        return finder.find(name) or name

    written = database.names
    database = replace(
        database,
        names=tuple(spelled(name) for name in written),
        reference_files=tuple(file and spelled(file) for file in database.reference_files),
    )
    _check_names(table, database)  # two names may be one file, but for their case
    if layout is None and database.names != written:
        twice = same_pictures(root, database.names)
        if twice is not None:
            later, earlier = (written[place] for place in twice)
            raise InputError(f"{table}: names {earlier} again as {later}; remove one of them")
    return database


def _kind_of_file(path: Path, kind: str | None) -> tuple[str, Path]:
    """Kind and table where the user gave a file."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise InputError(f"{path}: is a file; give the database's folder, or a CSV file")
    if kind is None:
        layout = DATABASES["koniq10k"]
        if path.name.casefold() in layout.tables:
            return layout.name, path
        kind = "kadid10k" if is_kadid(table_header(path)) else CSV
    elif kind not in (CSV, "kadid10k", "koniq10k"):
        raise InputError(f"{path}: is a file; give the folder of {DATABASES[kind].title}")
    return kind, path


def _kind_of_folder(path: Path, kind: str | None) -> tuple[str, Path]:
    """Kind and table of a folder, or of the one folder in it that is a database."""
    if kind == CSV:
        raise InputError(f"{path}: is a folder; give the CSV file in it")
    wanted = DATABASES if kind is None else {kind: DATABASES[kind]}
    folders = [path]
    found = _tables(path, wanted)
    if not found:
        folders = sorted(each for each in path.iterdir() if each.is_dir())
        found = [each for folder in folders for each in _tables(folder, wanted)]
    if not found:
        tables = ", ".join(sorted({name for each in wanted.values() for name in each.tables}))
        raise InputError(
            f"{path}: holds no table of scores that is known ({tables}); give the folder as the"
            " authors distribute it, see `deepfl benchmark --download-help`"
        )
    if len(found) > 1:
        several = ", ".join(f"{name} in {table.parent}" for name, table in found)
        raise InputError(f"{path}: holds more than one database ({several}); give one folder")
    return found[0]


def _tables(folder: Path, wanted: Mapping[str, Layout]) -> list[tuple[str, Path]]:
    """The databases whose table a folder holds; the two TIDs, which share a name, told apart."""
    finder = Finder(folder)
    found = []
    for layout in wanted.values():
        name = next((n for n in map(finder.find, layout.tables) if n is not None), None)
        if name is None:
            continue
        table = folder / name
        if layout.name == "tid2008" and "tid2013" in wanted:
            found.append((tid_edition(table), table))
        elif layout.name != "tid2013" or "tid2008" not in wanted:
            found.append((layout.name, table))
    return found


def _check_names(table: Path, database: Database) -> None:
    seen: set[str] = set()
    for name in database.names:
        if name in seen:
            raise InputError(f"{table}: names {name} more than once; remove one of them")
        seen.add(name)


def _check_counts(table: Path, database: Database, layout: Layout, pictures: int) -> None:
    references = len(set(database.references)) if layout.references else None
    if (len(database), references) != (pictures, layout.references):
        of = f" of {references} references" if references else ""
        expected = f" of {layout.references}" if layout.references else ""
        raise InputError(
            f"{table}: has {len(database):,} pictures{of}, not {layout.title}'s"
            f" {pictures:,}{expected}; {AGAIN}"
        )


def _check_scale(table: Path, database: Database, layout: Layout) -> None:
    """Scores beyond their scale mean that columns were exchanged or figures altered."""
    if layout.scale is None:
        return
    low, high = layout.scale
    wrong = np.flatnonzero((database.original < low) | (database.original > high))
    if wrong.size:
        name, score = database.names[wrong[0]], database.original[wrong[0]]
        raise InputError(
            f"{table}: {name} has the score {score:g}, outside {layout.title}'s"
            f" {low:g}..{high:g}; {AGAIN}"
        )
