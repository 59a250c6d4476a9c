"""Files that are whole or not there, and the one kind of error a user can cause."""

import errno
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

# A file that `whole_file` has not finished: a digest of the target's name, and the process.
UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.\d+\.tmp", re.ASCII)

# Errors of a disk that takes no more.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class InputError(Exception):
    """What the user handed over cannot be used; the message names it and the remedy in one line."""


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Context manager: a file to write, there whole and only if the block ends well, or not at all.

    It is a temporary one in the same folder until then. A device or a pipe, such as /dev/stdout,
    is written to as it is, for a file in its place would not be what was asked for.

    Raises:
        OSError: it cannot be written; names `path`, never the temporary file.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            yield file
        return
    with _naming(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    # Short, since the name itself may have all the bytes that the file system allows.
    mark = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    temporary = path.with_name(f".{mark}.{os.getpid()}.tmp")
    try:
        with _naming(path, temporary), temporary.open("wb") as file:
            yield file
        with _naming(path, temporary):
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def _naming(target: Path, temporary: Path | None = None) -> Iterator[None]:
    """Context manager: an OSError about the temporary file, or about no file, names the target."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, *map(str, (target, temporary))):
            raise
        remedy = "make room" if error.errno in _NO_SPACE else "choose another place, or permit it"
        reason = f"{error.strerror}; it could not be written, {remedy}"
        raise OSError(error.errno, reason, os.fspath(target)) from error


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


def file_digest(path: Path, algorithm: Literal["md5", "sha1", "sha256"] = "sha256") -> str:
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
