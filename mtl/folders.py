"""Every file below a folder, links followed, nothing passed over in silence."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Contents:
    """What lies below a folder, as names relative to it, with forward slashes, sorted."""

    files: tuple[str, ...]
    """Files, and links to files."""
    broken: tuple[str, ...]
    """Links that lead nowhere."""
    closed: tuple[str, ...]
    """Folders that may not be listed."""


def contents(root: Path) -> Contents:
    """List the files below a folder; hidden files and folders are left out.

    Links to files and folders are followed. A folder is listed once: under its own name if it is
    below `root`, else under that of the first link to it, in the order of names. So a link to a
    folder above itself ends there.
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
        except OSError:
            closed.append(folder)
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            path = root / name
            if path.is_dir():
                (linked if entry.is_symlink() else waiting).append(name)
            elif path.is_file():
                files.append(name)
            elif entry.is_symlink():  # also one that leads to itself
                broken.append(name)
    return Contents(tuple(sorted(files)), tuple(sorted(broken)), tuple(sorted(closed)))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))
