"""Identify what a picture file holds by the SHA-256 of its bytes.

Whatever is kept of pictures between runs is kept with these digests, since another picture may lie
under the same name later. Digesting a JPEG file of 2 megapixels takes 0.4 ms on one core, decoding
it 17 ms; a PNG file 1.7 ms and 41 ms.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from mtl.runtime.file_names import encoding_hint
from mtl.runtime.files import InputError, file_digest
from mtl.runtime.threads import computed

Item = TypeVar("Item")

UNREADABLE = ""
"""The content of a file that cannot be read; no digest equals it."""

PROGRAM_SUFFIXES = (".json", ".npy", ".npz", ".py")


def content_digest(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        InputError: the file is missing, no file but a pipe or a device, or cannot be read.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{path}: is no file but a pipe or a device; give a picture file")
        return file_digest(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file{encoding_hint([str(path)])}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def content_digests(paths: Sequence[Path], *, progress: bool = False) -> list[str]:
    """Return the digest of each file in order, `UNREADABLE` for one that cannot be read."""
    return digest_each(paths, content_digest, progress=progress)


def digest_each(
    items: Sequence[Item], digest: Callable[[Item], str], *, progress: bool = False
) -> list[str]:
    """Return `digest` of each item in order, computed in threads.

    Args:
        items: of what to digest.
        digest: for one item; where it raises InputError the result is `UNREADABLE`.
        progress: report on standard error if it takes longer than two seconds.
    """

    def one(item: Item) -> str:
        try:
            return digest(item)
        except InputError:
            return UNREADABLE

    return computed(one, items, "contents", progress=progress)


def digest_of(*parts: object) -> str:
    """Return the SHA-256 of values that JSON has, in their order: what something is made from."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def program_digest(*modules: ModuleType) -> str:
    """Return the SHA-256 of modules' program text; of a package, of all its modules and data."""
    parts: list[object] = []
    for module in modules:
        file = Path(str(module.__file__))
        if hasattr(module, "__path__"):
            files = sorted(p for p in file.parent.rglob("*") if p.suffix in PROGRAM_SUFFIXES)
            parts += [[str(p.relative_to(file.parent)), content_digest(p)] for p in files]
        else:
            parts.append([file.name, content_digest(file)])
    return digest_of(*parts)
