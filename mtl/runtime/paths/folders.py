"""Every file below a folder, links followed, nothing passed over in silence."""

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtl.runtime.files import InputError


@dataclass(frozen=True)
class Contents:
    """What lies below a folder, as names relative to it, with forward slashes, sorted."""

    files: tuple[str, ...]
    """Whatever is no folder, and links to it: also pipes, sockets and devices, and files that may
    not be looked at. Whoever opens one says what is wrong with it."""
    broken: tuple[str, ...]
    """Links that lead nowhere, or where nobody may look."""
    closed: tuple[str, ...]
    """Folders that may not be listed, or whose path is too long."""


def contents(root: Path) -> Contents:
    """List the files below a folder; hidden files and folders are left out.

    Links to files and folders are followed. A folder is listed once: under its own name if it is
    below `root`, else under that of the first link to it, in the order of names. So a link to a
    folder above itself ends there.

    Raises:
        InputError: `root` itself cannot be listed.
    """
    files: list[str] = []
    broken: list[str] = []
    closed: list[str] = []
    seen: set[tuple[int, int]] = set()
    linked: list[str] = []
    waiting = deque([""])
    while waiting or linked:
        if not waiting:  # folders proper come first, so that they keep their own names
            linked.sort()
            waiting.append(linked.pop(0))
        folder = waiting.popleft()
        try:
            state = (root / folder).stat()
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            entries = sorted(_entries(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise InputError(
                    f"{root}: cannot be listed ({error.strerror}); permit it (chmod u+rx), or"
                    " choose another folder"
                ) from error
            closed.append(folder)
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            kind = _kind(entry)
            if kind == "folder":
                (linked if entry.is_symlink() else waiting).append(name)
            else:
                (broken if kind == "broken" else files).append(name)
    return Contents(tuple(sorted(files)), tuple(sorted(broken)), tuple(sorted(closed)))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _kind(entry: os.DirEntry[str]) -> Literal["folder", "file", "broken"]:
    """Return what an entry is, as far as it can be known."""
    try:
        return "folder" if stat.S_ISDIR(entry.stat().st_mode) else "file"
    except OSError:  # a link to nowhere or to itself, a path too long, a folder nobody may enter
        if entry.is_symlink():
            return "broken"
        # The folder that holds the entry knows this much of it.
        return "folder" if entry.is_dir(follow_symlinks=False) else "file"
