"""Files by the names that tables give them, whatever the case on the disk.

Accents may be composed or decomposed there, as in archives that were made on macOS.
"""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mtl.runtime.files import InputError


def folded(name: str) -> str:
    """Return what names have in common that differ in case or in how accents are composed alone.

    This is Unicode's canonical caseless matching (The Unicode Standard, section 3.13, D145).
    """
    decomposed = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFD", decomposed)


class Finder:
    """Files under a root by their names, whatever the case: distributions differ in it.

    Each folder is listed once; a file of exactly the name comes before others. A name that the
    system cannot hold, such as one of more bytes than it allows, is that of no file.
    """

    def __init__(self, root: Path):
        self.root = root
        self._listings: dict[Path, tuple[set[str], dict[str, list[str]]]] = {}

    def find(self, name: str) -> str | None:
        """Return the name as it is on the disk, relative to the root; None without such a file.

        Raises:
            InputError: several names differ from it in case alone.
        """
        folder, parts = self.root, []
        for part in PurePosixPath(name).parts:
            actual = part
            if part not in ("/", ".."):
                names, alike_by_key = self._listing(folder)
                alike = [part] if part in names else alike_by_key.get(folded(part), [])
                if not alike:
                    return None
                if len(alike) > 1:
                    raise InputError(
                        f"{folder}: {part} may be {' or '.join(alike)}; rename one of them"
                    )
                actual = alike[0]
            parts.append(actual)
            folder = folder / actual
        return PurePosixPath(*parts).as_posix()

    def first_file(self, names: Sequence[str]) -> str | None:
        """Return the first of several names that is a file, as it is spelled on the disk.

        Names of exactly that spelling come before all others; folders are listed for the latter
        alone.

        Raises:
            InputError: several files differ from a name in case alone.
        """
        exact = next((name for name in names if self._is_file(name)), None)
        if exact is not None:
            return exact
        found = (self.find(name) for name in names)
        return next((name for name in found if name and self._is_file(name)), None)

    def _is_file(self, name: str) -> bool:
        # Path.is_file raises an error for a name that is too long.
        return os.path.isfile(self.root / name)  # noqa: PTH113

    def path(self, name: str) -> Path:
        """Return the file.

        Raises:
            InputError: there is none.
        """
        found = self.find(name)
        if found is None:
            raise InputError(f"{self.root / name}: no such file; unpack the authors' archive again")
        return self.root / found

    def _listing(self, folder: Path) -> tuple[set[str], dict[str, list[str]]]:
        if folder not in self._listings:
            try:
                names = sorted(path.name for path in folder.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                names = []
            alike: dict[str, list[str]] = {}
            for name in names:
                alike.setdefault(folded(name), []).append(name)
            self._listings[folder] = (set(names), alike)
        return self._listings[folder]


class RealPaths:
    """The path without links of every file, which is one whatever folder it was found in.

    Each folder is looked up once.
    """

    def __init__(self):
        self._folders: dict[Path, str] = {}

    def real(self, path: Path) -> str:
        """Return the path of a file without links."""
        # Path.is_symlink raises an error for a name that is too long.
        return os.path.realpath(path) if os.path.islink(path) else self.place(path)  # noqa: PTH114

    def place(self, path: Path) -> str:
        """Return the path of a file, itself perhaps a link, in a folder without links."""
        if path.parent not in self._folders:
            self._folders[path.parent] = os.path.realpath(path.parent)
        return f"{self._folders[path.parent]}/{path.name}"
