"""Names of files: other spellings and links of one picture, and names that are not UTF-8."""

import os
import posixpath
from collections.abc import Hashable, Iterable
from pathlib import Path, PurePosixPath

PICTURE_SUFFIXES = (
    *(".avif", ".bmp", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
)

NAME_BYTES = 255  # of a file's name without folders: NAME_MAX of Linux (limits.h)


def plain_path(name: str) -> str:
    """Return a name without ./, // and folder/.., which are other spellings of the same."""
    return posixpath.normpath(name) if name else name


def same_pictures(folder: Path, names: Iterable[str]) -> tuple[int, int] | None:
    """Return the places of the first name that is a picture named before, and of that one.

    Files are the same if they have one place on the disk. Of names without a file, which may be
    found missing later, the places that they would have are compared. 20,000 files take 0.4 s.

    Args:
        folder: that the names are relative to; absolute ones are as they are.
        names: of the pictures.
    """
    seen: dict[Hashable, int] = {}
    folders: dict[Path, str] = {}
    for place, name in enumerate(names):
        earlier = seen.setdefault(_identity(folder / name, folders), place)
        if earlier != place:
            return place, earlier
    return None


def _identity(path: Path, folders: dict[Path, str]) -> Hashable:
    """Return the file's number on its disk, or the path where there is no file or number.

    Args:
        path: of the file.
        folders: real paths of folders that are known; others are added.
    """
    try:
        found = path.stat()
        if found.st_ino:
            return found.st_dev, found.st_ino
    except OSError:  # there is none, or the name is too long
        pass
    if path.parent not in folders:
        folders[path.parent] = os.path.realpath(path.parent)
    return folders[path.parent], path.name


def encoding_hint(names: Iterable[str]) -> str:
    """Return what to do where missing files have names that are not UTF-8; empty otherwise.

    A table's bytes that are not UTF-8 are the names of files that have them. Those of a table that
    was saved as Latin-1 name no file of a disk whose names are UTF-8.
    """
    if any("\udc80" <= sign <= "\udcff" for name in names for sign in name):
        return "; if a table names it, the table is not UTF-8: save it as 'CSV UTF-8'"
    return ""


def too_long(file: str) -> str | None:
    """Return why no file can have this name, with folders; None where one can."""
    name = PurePosixPath(file).name
    number = len(name.encode(errors="surrogateescape"))
    if number <= NAME_BYTES:
        return None
    return (
        f"{name[:20]}...{name[-20:]} would be a name of {number} bytes, where {NAME_BYTES} are"
        " allowed; shorten the photograph's name"
    )


def is_inside(name: str) -> bool:
    """Whether a name, joined to a folder, stays in the folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.name != ""
