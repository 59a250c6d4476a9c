"""Folders of results that are not among the pictures that the results are made of.

Otherwise the next call takes results for pictures, and makes results of them.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mtl.runtime.files import InputError

SHOWN = 3  # names in a line


def check_apart(pictures: Path, out: Path, *, option: str = "--out") -> None:
    """Refuse a folder of results inside a folder of pictures, or around it; links are followed.

    Raises:
        InputError: names both folders.
    """
    inputs, results = (Path(os.path.realpath(folder)) for folder in (pictures, out))
    if inputs == results or inputs in results.parents or results in inputs.parents:
        raise InputError(
            f"{out}: results and pictures would mix in {pictures}; choose another {option} that is"
            " neither inside the pictures' folder nor around it"
        )


def names_apart(
    pictures: Path, names: Sequence[str], out: Path, tell: Callable[[str], None] | None = None
) -> list[str]:
    """Return the names of the pictures that do not lie in the folder of results.

    A link among the pictures may lead there.

    Args:
        pictures: their folder.
        names: of the pictures, relative to it.
        out: the folder of results.
        tell: called with a line that counts the others.

    Raises:
        InputError: all of them lie there.
    """
    results = os.path.realpath(out)
    folders: dict[Path, str] = {}
    kept, inside = [], []
    for name in names:
        path = pictures / name
        if os.path.islink(path):  # noqa: PTH114 -- Path.is_symlink raises where a path is too long
            real = os.path.realpath(path)
        else:
            if path.parent not in folders:
                folders[path.parent] = os.path.realpath(path.parent)
            real = os.path.join(folders[path.parent], path.name)  # noqa: PTH118
        (inside if real.startswith(f"{results.rstrip(os.sep)}{os.sep}") else kept).append(name)
    if not kept:
        raise InputError(
            f"{pictures}: all of its pictures lie in {out}, where the results go; choose another"
            " --out"
        )
    if inside and tell is not None:
        some = " ".join(inside[:SHOWN]) + (" ..." if len(inside) > SHOWN else "")
        tell(
            f"{pictures}: {len(inside)} picture{'s' if len(inside) > 1 else ''} that links find in"
            f" {out}, where the results go, are left out ({some})"
        )
    return kept
