"""A feature folder: features.npy (float16, memory-mapped), index.csv, skipped.csv.

index.csv is written last, so a folder with it is complete. Until then `partial.npy` and
`partial.json` hold what is done, and the same command continues there.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mlsp.sources import Source
from mtl.files import InputError, read_table, table_text, write_atomically

FEATURES_FILE, INDEX_FILE, SKIPPED_FILE = "features.npy", "index.csv", "skipped.csv"
PARTIAL_FEATURES, PARTIAL_STATE, IDENTITY_FILE = "partial.npy", "partial.json", "source.json"

# How much work a killed extraction may lose.
SECONDS_BETWEEN_FLUSHES = 5.0


@dataclass(frozen=True)
class Features:
    """Features of pictures, with what is known of each."""

    matrix: Float[np.ndarray, "n ..."]
    """A row per picture: (n, f), or (n, 5, 5, 16928) of the kind mlsp-wide."""
    names: Sequence[str]
    columns: Sequence[Mapping[str, str]]
    skipped: Mapping[str, str]
    """Reason by name of the pictures that could not be used."""


def load_features(folder: str | os.PathLike) -> Features:
    """Open a feature folder; the matrix is mapped, not read.

    Raises:
        InputError: the folder is not one, or extraction has not ended.
    """
    folder = Path(folder)
    if not (folder / INDEX_FILE).is_file():
        raise InputError(
            f"{folder}: is not a finished feature folder ({INDEX_FILE} is missing); run"
            " `deepfl extract` (again)"
        )
    rows = read_table(folder / INDEX_FILE, ("image",))
    try:
        matrix = np.load(folder / FEATURES_FILE, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{folder / FEATURES_FILE}: is missing or damaged ({error})") from error
    if matrix.ndim < 2 or len(matrix) != len(rows):
        raise InputError(f"{folder}: {FEATURES_FILE} and {INDEX_FILE} differ in length")
    skipped = {}
    if (folder / SKIPPED_FILE).is_file():
        skipped = {
            row["image"]: row["reason"]
            for row in read_table(folder / SKIPPED_FILE, ("image", "reason"))
        }
    columns = [{k: v for k, v in row.items() if k != "image"} for row in rows]
    return Features(matrix, [row["image"] for row in rows], columns, skipped)


class FeatureWriter:
    """Fills a feature folder row by row, in any order, surviving a kill at any moment.

    Args:
        out: the folder.
        source: what the rows are of.
        identity: everything that decides the numbers of a picture, in values that JSON has; a
            folder that was begun with another one is not continued.
        shape_of_one: of a picture's features.
        remarks: columns of the index that are the same in every row.

    Raises:
        InputError: the folder holds something else, or features of another identity or source.
    """

    def __init__(
        self,
        out: Path,
        source: Source,
        identity: Mapping[str, Any],
        shape_of_one: tuple[int, ...],
        remarks: Mapping[str, str] | None = None,
    ):
        self.out, self.source = out, source
        self._remarks = dict(remarks or {})
        self._shape = (len(source.names), *shape_of_one)
        names = "\n".join(source.names)
        self._identity = {
            **identity,
            "names_sha256": hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest(),
            "pictures": len(source.names),
        }
        self.skipped: dict[int, str] = {}
        self._done = np.zeros(len(source.names), bool)
        self._matrix: np.memmap | None = None
        self._flushed = time.monotonic()
        path = out / IDENTITY_FILE
        if path.is_file():
            try:
                there = json.loads(path.read_text())
            except ValueError as error:
                raise InputError(f"{path}: is damaged; choose another --out") from error
            if there != self._identity:
                raise InputError(
                    f"{out}: holds features of other pictures or of another model or kind; choose"
                    " another --out"
                )
        elif out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out}: exists and is not a feature folder; choose another --out")
        self._read_state()

    @property
    def complete(self) -> bool:
        """Whether everything was done before."""
        return (self.out / INDEX_FILE).is_file()

    @property
    def number_done(self) -> int:
        """Pictures whose features are there, or that were skipped."""
        return int(self._done.sum()) + len(self.skipped)

    def missing(self) -> list[int]:
        """Indices of the pictures still to be done."""
        return [i for i in np.flatnonzero(~self._done).tolist() if i not in self.skipped]

    def begin(self) -> None:
        """Create the folder and its matrix, unless they are there from an earlier run."""
        self.out.mkdir(parents=True, exist_ok=True)
        write_atomically(self.out / IDENTITY_FILE, json.dumps(self._identity, indent=1))
        path = self.out / PARTIAL_FEATURES
        if path.exists() and self._done.any():
            self._matrix = np.lib.format.open_memmap(path, mode="r+")
        else:
            self._done[:] = False
            self._matrix = np.lib.format.open_memmap(path, "w+", np.float16, self._shape)

    def skip(self, index: int, reason: str) -> None:
        """Leave a picture out."""
        self.skipped[index] = reason

    def write(self, indices: Sequence[int], features: Float[np.ndarray, "n ..."]) -> None:
        """Store the features of some pictures."""
        assert self._matrix is not None, "begin() comes first"
        with np.errstate(over="ignore"):
            half = features.astype(np.float16)
        if not np.isfinite(half).all():
            raise InputError(
                f"{self.source.names[indices[0]]}: its features leave the range of float16; the"
                " model's weights are not sound"
            )
        self._matrix[list(indices)] = half
        self._done[list(indices)] = True
        if time.monotonic() - self._flushed > SECONDS_BETWEEN_FLUSHES:
            self._flush()

    def finish(self) -> Features:
        """Close the folder: rows in the source's order without the skipped ones, index last."""
        assert self._matrix is not None, "begin() comes first"
        self._flush()
        kept = np.flatnonzero(self._done).tolist()
        if not kept:
            index = min(self.skipped)
            shutil.rmtree(self.out)
            raise InputError(
                f"none of the {len(self.source.names)} pictures can be used; the first,"
                f" {self.source.names[index]}: {self.skipped[index]}"
            )
        if len(kept) < len(self._done):
            temporary = self.out / f".{FEATURES_FILE}.tmp"
            packed = np.lib.format.open_memmap(
                temporary, "w+", np.float16, (len(kept), *self._shape[1:])
            )
            for row, index in enumerate(kept):
                packed[row] = self._matrix[index]
            packed.flush()
            temporary.replace(self.out / FEATURES_FILE)
            (self.out / PARTIAL_FEATURES).unlink()
        else:
            (self.out / PARTIAL_FEATURES).replace(self.out / FEATURES_FILE)
        names, columns = self.source.names, self.source.columns
        if self.skipped:
            rows = [
                {"image": names[i], "reason": reason} for i, reason in sorted(self.skipped.items())
            ]
            write_atomically(self.out / SKIPPED_FILE, table_text(rows))
        write_atomically(
            self.out / INDEX_FILE,
            table_text([{"image": names[i], **columns[i], **self._remarks} for i in kept]),
        )
        (self.out / PARTIAL_STATE).unlink(missing_ok=True)
        return load_features(self.out)

    def _flush(self) -> None:
        assert self._matrix is not None
        self._matrix.flush()
        state = {
            "done": np.flatnonzero(self._done).tolist(),
            "skipped": [[i, reason] for i, reason in self.skipped.items()],
        }
        write_atomically(self.out / PARTIAL_STATE, json.dumps(state))
        self._flushed = time.monotonic()

    def _read_state(self) -> None:
        path = self.out / PARTIAL_STATE
        if not path.is_file() or not (self.out / PARTIAL_FEATURES).is_file():
            return
        try:
            state = json.loads(path.read_text())
            self._done[state["done"]] = True
            self.skipped = {int(i): str(reason) for i, reason in state["skipped"]}
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(f"{path}: is damaged; delete {self.out} and extract again") from error
