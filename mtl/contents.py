"""What a picture file holds: the SHA-256 of its bytes.

Whatever is kept of pictures between runs is kept with these digests, since another picture may lie
under the same name later. Digesting a JPEG file of 2 megapixels takes 0.4 ms on one core, decoding
it 17 ms; a PNG file 1.7 ms and 41 ms.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mtl.files import InputError, file_digest
from mtl.progress import progress_bar
from mtl.threads import in_order

Item = TypeVar("Item")

UNREADABLE = ""
"""The content of a file that cannot be read; no digest equals it."""

SECONDS_BEFORE_PROGRESS = 2.0


def content_digest(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    path = Path(path)
    try:
        return file_digest(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
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

    found = []
    with progress_bar(
        len(items), "contents", "file", show=progress, delay=SECONDS_BEFORE_PROGRESS
    ) as bar:
        for each in in_order(one, items):
            found.append(each)
            bar.update()
    return found
