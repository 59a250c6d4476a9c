"""Reading what authors distribute: files of any case, MATLAB's .mat files, lines of text."""

import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float

from mtl.runtime.file_names import encoding_hint
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import NUMBER
from mtl.runtime.tables.finder import Finder

AGAIN = "unpack the authors' archive again"

MISSING_NAMED = 3  # of the missing pictures, in an error


def missing_files(finder: Finder, names: Sequence[str]) -> str | None:
    """How many of the files are missing, and the first of them; None if all are there."""
    missing = [name for name in dict.fromkeys(names) if not _is_there(finder, name)]
    if not missing:
        return None
    first = ", ".join(missing[:MISSING_NAMED]) + (", ..." if len(missing) > MISSING_NAMED else "")
    return (
        f"{len(missing):,} of {len(set(names)):,} pictures are missing: {first}"
        f"{encoding_hint(missing)}"
    )


def _is_there(finder: Finder, name: str) -> bool:
    """Return whether there is such a file; a folder is none."""
    found = finder.find(name)
    return found is not None and (finder.root / found).is_file()


# Reads variables of a .mat file and writes them as an .npz file to standard output, cells as text.
MAT_READER = """
import io, sys
import numpy as np
import scipy.io
held = scipy.io.loadmat(sys.argv[1], variable_names=sys.argv[2:])
def plain(array):
    if array.dtype != object:
        return array
    cells = [c.item() if isinstance(c, np.ndarray) and c.size == 1 else c for c in array.ravel()]
    return np.array([c if isinstance(c, str) else "" for c in cells])
found = {n: plain(held[n]) for n in sys.argv[2:] if isinstance(held.get(n), np.ndarray)}
file = io.BytesIO()
np.savez(file, **found)
sys.stdout.buffer.write(file.getvalue())
"""


def read_mat(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Variables of a .mat file of version 4 to 7; nothing in it is executed.

    A process of its own reads it: SciPy's reader is compiled, and some damaged files end the
    process they are read in.

    Raises:
        InputError: the file is damaged, or lacks one of the variables.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-c", MAT_READER, str(path), *names],
        capture_output=True,
        check=False,
    )
    try:
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise ValueError(said[-1] if said else "its reader crashed")
        with np.load(BytesIO(done.stdout), allow_pickle=False) as found:
            held = {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        detail = " ".join(str(error).split())[:80]
        raise InputError(f"{path}: is damaged or no .mat file ({detail}); {AGAIN}") from error
    for name in names:
        if name not in held:
            raise InputError(f"{path}: does not hold {name}; {AGAIN}")
    return held


def mat_numbers(path: Path, name: str, values: np.ndarray) -> Float[np.ndarray, " n"]:
    """A row or column of finite numbers as float64.

    Raises:
        InputError: it is something else.
    """
    if values.dtype.kind not in "biuf" or values.size != max(values.shape, default=0):
        raise InputError(f"{path}: {name} is no row of numbers; {AGAIN}")
    numbers = values.astype(np.float64).ravel()
    if not np.isfinite(numbers).all():
        place = int(np.flatnonzero(~np.isfinite(numbers))[0]) + 1
        raise InputError(f"{path}: entry {place} of {name} is not a number; {AGAIN}")
    return numbers


def mat_strings(path: Path, name: str, cells: np.ndarray) -> list[str]:
    """A cell array of file names.

    Raises:
        InputError: it is something else, or one of them is no plain file name.
    """
    texts = []
    for place, cell in enumerate(cells.ravel(), 1):
        text = cell.strip() if isinstance(cell, str) else ""
        if not text or any(sign in text for sign in "/\\\0"):
            raise InputError(f"{path}: entry {place} of {name} is no file name; {AGAIN}")
        texts.append(text)
    return texts


def read_lines(path: Path, fields: int) -> list[list[str]]:
    """The fields, separated by blanks, of every line that is not empty.

    Raises:
        InputError: the file is no text, is empty, or a line has another number of fields.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a text file ({error}); {AGAIN}") from error
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and len(words) != fields:
            raise InputError(f"{path}: line {number}: has {len(words)} fields, not {fields}")
        if words:
            lines.append(words)
    if not lines:
        raise InputError(f"{path}: is empty; {AGAIN}")
    return lines


def number(path: Path, where: str, text: object) -> float:
    """A finite number from a field of a table.

    Raises:
        InputError: it is none.
    """
    value = float("nan")
    written = isinstance(text, str) and NUMBER.fullmatch(text) and "," not in text
    if isinstance(text, int | float) or written:
        value = float(text)
    if not np.isfinite(value):
        raise InputError(f"{path}: {where}: {text!r} is not a number; {AGAIN}")
    return value


def spread(path: Path, where: str, text: object) -> float:
    """Return a standard deviation from a field of a table.

    Raises:
        InputError: it is no number, or is negative.
    """
    value = number(path, where, text)
    if value < 0:
        raise InputError(f"{path}: {where}: {value:g} is negative, as no deviation is; {AGAIN}")
    return value


def same_number(path: Path, what: str, found: int, expected: int) -> None:
    """Raise an InputError unless a table has as many entries as it must."""
    if found != expected:
        raise InputError(f"{path}: holds {found:,} {what}, not {expected:,}; {AGAIN}")
