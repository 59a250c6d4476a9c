"""Files that are whole or not there, tables as CSV, and the one kind of error a user can cause."""

import csv
import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np


class InputError(Exception):
    """What the user handed over cannot be used; the message names it and the remedy in one line."""


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Context manager: a file to write, there whole and only if the block ends well, or not at all.

    It is a temporary one in the same folder until then. A device or a pipe, such as /dev/stdout,
    is written to as it is, for a file in its place would not be what was asked for.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, since the name itself may have all the bytes that the file system allows.
    mark = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    temporary = path.with_name(f".{mark}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike, data: bytes | str) -> None:
    """Write a file so that it is there whole or not at all.

    Text becomes UTF-8; names of files in it that are not UTF-8 become their own bytes again.
    """
    with whole_file(path) as file:
        file.write(data.encode(errors="surrogateescape") if isinstance(data, str) else data)


def json_text(value: Any) -> str:
    """Return JSON text that is UTF-8 whatever names it holds.

    A byte of a file's name that is not UTF-8, 0xfc for example, is written as \\udcfc, which a
    reader turns back into the name (PEP 383).
    """
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found.group()):04x}", text)


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as .npz, whole or not at all."""
    with whole_file(path) as file:
        np.savez(file, **{name: np.asarray(array) for name, array in arrays.items()})


def file_digest(path: Path, algorithm: Literal["md5", "sha256"] = "sha256") -> str:
    """Hexadecimal digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the named arrays of an .npz file; nothing in it is unpickled.

    Raises:
        InputError: the file is missing, damaged, or holds objects.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is missing or damaged ({error})") from error


def read_table(path: str | os.PathLike, required: Iterable[str]) -> list[dict[str, str]]:
    """Rows of a CSV file whose header must hold the `required` columns.

    Raises:
        InputError: the file is missing, is not text, has another header, or has no rows.
    """
    return list(table_rows(path, required))


def table_rows(path: str | os.PathLike, required: Iterable[str]) -> Iterator[dict[str, str]]:
    """The rows that `read_table` reads, one at a time; what is wrong is raised on the way."""
    path = Path(path)
    empty = True
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a CSV file with a header line")
    try:
        # Names of files are bytes: those that are not UTF-8 come back as the names they were.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            header = [name.strip() for name in reader.fieldnames or []]
            "".join(header).encode()  # a header is text: UnicodeEncodeError otherwise
            missing = [name for name in required if name not in header]
            if missing:
                raise InputError(
                    f"{path}: the header is '{','.join(header)[:80]}' but must hold"
                    f" {', '.join(required)}; {missing[0]} is missing"
                )
            reader.fieldnames = header
            for row in reader:
                empty = False
                yield row
    except (UnicodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV text file ({error})") from error
    if empty:
        raise InputError(f"{path}: has a header but no rows; add one row per picture")


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """CSV text with a header line; the first row's keys, of one row at least, are the columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
