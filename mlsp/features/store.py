"""A feature folder: features.npy (float16, memory-mapped), index.csv, skipped.csv, contents.csv.

features.sha256 holds the digest of features.npy as `sha256sum --check` reads it. A folder whose
features were changed afterwards is not continued.

contents.csv holds a digest of each picture that was described, skipped ones included, and
source.json what else decides the numbers. A folder is continued with the same pictures, by name,
and the same settings; the features of a picture whose content has changed are made again.

index.csv is written last, so a folder with it is complete. Until then `partial.npy` and
`partial.json` hold what is done, and the same command continues there.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mlsp.features.matrix_files import new_matrix
from mlsp.features.sources import Source
from mtl.runtime.claims import Identity, claimed
from mtl.runtime.contents import digest_each
from mtl.runtime.files import InputError, file_digest, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import read_table, table_text

FEATURES_FILE, INDEX_FILE, SKIPPED_FILE = "features.npy", "index.csv", "skipped.csv"
PARTIAL_FEATURES, PARTIAL_STATE, IDENTITY_FILE = "partial.npy", "partial.json", "source.json"
CONTENTS_FILE, DIGEST_FILE = "contents.csv", "features.sha256"
FORMAT = 2  # of source.json; 1, which said no format, knew pictures by name alone

# How much work a killed extraction may lose.
SECONDS_BETWEEN_FLUSHES = 5.0


@dataclass(frozen=True)
class Features:
    """Features of pictures, with what is known of each."""

    matrix: Float[np.ndarray, "n ..."]
    """A row per picture: (n, f), or (n, 5, 5, f) of the kind mlsp-wide."""
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
        identity: everything that decides the numbers of a picture beside its content, in values
            that JSON has; a folder that was begun with another one is not continued.
        shape_of_one: of a picture's features.
        remarks: columns of the index that are the same in every row.
        progress: report on standard error.

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
        *,
        progress: bool = False,
    ):
        self.out, self.source = out, source
        self._remarks, self._progress = dict(remarks or {}), progress
        self._shape = (len(source.names), *shape_of_one)
        names = "\n".join(source.names)
        self._identity = {
            "format": FORMAT,
            **identity,
            "names_sha256": hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest(),
            "pictures": len(source.names),
        }
        self.skipped: dict[int, str] = {}
        self._done = np.zeros(len(source.names), bool)
        self._matrix: np.memmap | None = None
        self._flushed = time.monotonic()
        begun = self._is_begun()
        self._contents = digest_each(range(len(source.names)), source.content, progress=progress)
        if begun:
            self._read()

    @property
    def complete(self) -> bool:
        """Whether everything was done before, of pictures as they are now."""
        return (self.out / INDEX_FILE).is_file() and self.number_done == len(self._done)

    @property
    def number_done(self) -> int:
        """Pictures whose features are there, or that were skipped."""
        return int(self._done.sum()) + len(self.skipped)

    def missing(self) -> list[int]:
        """Indices of the pictures still to be done."""
        return [i for i in np.flatnonzero(~self._done).tolist() if i not in self.skipped]

    def check_usable(self) -> None:
        """Make sure that there may be a picture to describe.

        What a finished folder holds is given up only for a picture that can be decoded.

        Raises:
            InputError: none can be used; the folder stays as it is.
        """
        if (self.out / INDEX_FILE).is_file() and not self._done.any():
            for index in self.missing():
                try:
                    self.source.load(index)
                except InputError as error:
                    self.skip(index, str(error))
                else:
                    break
        if len(self.skipped) == len(self._done):
            raise self._nothing()

    def begin(self) -> None:
        """Create the folder and its matrix, unless they are there from an earlier run."""
        self.out.mkdir(parents=True, exist_ok=True)
        write_atomically(self.out / IDENTITY_FILE, json.dumps(self._identity, indent=1))
        if (self.out / INDEX_FILE).is_file():
            self._reopen()
        path = self.out / PARTIAL_FEATURES
        if path.exists() and self._done.any():
            self._matrix = np.lib.format.open_memmap(path, mode="r+")
            # What is done no longer is where a picture has changed, before its content is noted.
            self._flush()
        else:
            (self.out / PARTIAL_STATE).unlink(missing_ok=True)
            self._done[:] = False
            self._matrix = new_matrix(path, self._shape)
        self._write_contents()

    def refresh(self) -> Features:
        """Write the index again where the source says something else of the pictures now."""
        text = self._index(np.flatnonzero(self._done).tolist())
        if (self.out / INDEX_FILE).read_bytes() != text.encode(errors="surrogateescape"):
            write_atomically(self.out / INDEX_FILE, text)
            say(f"{self.out / INDEX_FILE}: written again with changed columns", show=self._progress)
        return load_features(self.out)

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
            self._remove()
            raise self._nothing()
        if len(kept) < len(self._done):
            temporary = self.out / f".{FEATURES_FILE}.tmp"
            packed = new_matrix(temporary, (len(kept), *self._shape[1:]))
            for row, index in enumerate(kept):
                packed[row] = self._matrix[index]
            packed.flush()
            temporary.replace(self.out / FEATURES_FILE)
            (self.out / PARTIAL_FEATURES).unlink()
        else:
            (self.out / PARTIAL_FEATURES).replace(self.out / FEATURES_FILE)
        names = self.source.names
        if self.skipped:
            rows = [
                {"image": names[i], "reason": reason} for i, reason in sorted(self.skipped.items())
            ]
            write_atomically(self.out / SKIPPED_FILE, table_text(rows))
        else:
            (self.out / SKIPPED_FILE).unlink(missing_ok=True)
        write_atomically(self.out / DIGEST_FILE, self._digest())
        write_atomically(self.out / INDEX_FILE, self._index(kept))
        (self.out / PARTIAL_STATE).unlink(missing_ok=True)
        return load_features(self.out)

    def _digest(self) -> str:
        """Return the text of features.sha256."""
        return f"{file_digest(self.out / FEATURES_FILE)}  {FEATURES_FILE}\n"

    def _nothing(self) -> InputError:
        """Return the error that no picture can be used."""
        index = min(self.skipped)
        return InputError(
            f"none of the {len(self.source.names)} pictures can be used; the first,"
            f" {self.source.names[index]}: {self.skipped[index]}"
        )

    def _remove(self) -> None:
        """Remove an unfinished folder's files, and the folder if it holds nothing else."""
        for name in (PARTIAL_FEATURES, PARTIAL_STATE, CONTENTS_FILE, IDENTITY_FILE):
            (self.out / name).unlink(missing_ok=True)
        with suppress(OSError):  # it holds the user's files, or is a link
            self.out.rmdir()

    def _flush(self) -> None:
        assert self._matrix is not None
        self._matrix.flush()
        self._write_state()
        self._flushed = time.monotonic()

    def _write_state(self) -> None:
        state = {
            "done": np.flatnonzero(self._done).tolist(),
            "skipped": [[i, reason] for i, reason in self.skipped.items()],
        }
        write_atomically(self.out / PARTIAL_STATE, json.dumps(state))

    def _index(self, kept: Sequence[int]) -> str:
        names, columns = self.source.names, self.source.columns
        return table_text([{"image": names[i], **columns[i], **self._remarks} for i in kept])

    def _write_contents(self) -> None:
        rows = [
            {"image": name, "content": content}
            for name, content in zip(self.source.names, self._contents, strict=True)
        ]
        write_atomically(self.out / CONTENTS_FILE, table_text(rows))

    def _is_begun(self) -> bool:
        """Return whether the folder holds features of this identity; False where there is none.

        Raises:
            InputError: it holds something else.
        """
        identity = Identity(
            file=IDENTITY_FILE,
            kind="a feature folder",
            value=self._identity,
            difference=self._difference,
        )
        return claimed(self.out, identity) is not None and (self.out / CONTENTS_FILE).is_file()

    def _difference(self, there: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
        """Say in what a folder's identity differs from what is asked for; nothing if it does not.

        Raises:
            InputError: the folder is of a version that knew pictures by name alone.
        """
        if there.get("format") != FORMAT:
            raise InputError(
                f"{self.out}: was written by another version, which does not tell of what"
                " pictures; delete the folder or choose another --out"
            )
        if there == ours:
            return ""
        how = self._how_different(there, ours)
        return f"holds features of other pictures or of another model or kind ({how})"

    def _how_different(self, there: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
        if there.get("weights_sha256") != ours.get("weights_sha256"):
            return "the model's weights differ"
        for name in dict.fromkeys([*ours, *there]):
            before, now = there.get(name), ours.get(name)
            if before != now and name not in ("names_sha256", "pictures"):
                return f"{name}: {before or 'none'} there, {now or 'none'} now"
        counts = f"{there.get('pictures')} rows there, {len(self.source.names)} now"
        if not (self.out / CONTENTS_FILE).is_file():
            return counts
        before, now = [row["image"] for row in self._table()], list(self.source.names)
        for names, others, what in ((before, now, "is only there"), (now, before, "is new")):
            if only := set(names) - set(others):
                first = next(name for name in names if name in only)
                return f"{counts}; {first} {what}"
        return "in another order there"

    def _table(self) -> list[dict[str, str]]:
        return read_table(self.out / CONTENTS_FILE, ("image", "content"))

    def _read(self) -> None:
        """Take what is there of pictures that have not changed."""
        before = [row["content"] for row in self._table()]
        if len(before) != len(self._contents):
            raise InputError(f"{self.out / CONTENTS_FILE}: is damaged; delete {self.out}")
        if (self.out / INDEX_FILE).is_file():
            self._read_finished()
        else:
            self._read_state()
        known = self.number_done
        for index, (then, now) in enumerate(zip(before, self._contents, strict=True)):
            if then != now:
                self._done[index] = False
                self.skipped.pop(index, None)
        changed = known - self.number_done
        if changed:
            say(
                f"{self.out}: {self.number_done} rows are kept; {changed} are made again, of"
                " pictures that have changed",
                show=self._progress,
            )

    def _read_finished(self) -> None:
        """Take what a finished folder says is in it: all that was not skipped, in order."""
        found = load_features(self.out)
        noted = self.out / DIGEST_FILE
        if not noted.is_file() or noted.read_bytes() != self._digest().encode():
            raise InputError(
                f"{self.out / FEATURES_FILE}: was changed since it was written, or {DIGEST_FILE}"
                f" was; delete {self.out} or choose another --out"
            )
        kept = [name not in found.skipped for name in self.source.names]
        if found.names != [n for n, k in zip(self.source.names, kept, strict=True) if k]:
            raise InputError(
                f"{self.out}: {INDEX_FILE}, {SKIPPED_FILE} and {CONTENTS_FILE} do not belong"
                " together; delete the folder or choose another --out"
            )
        if found.matrix.shape[1:] != self._shape[1:]:
            raise InputError(
                f"{self.out / FEATURES_FILE}: has another shape than the model's; delete {self.out}"
            )
        self._done[:] = kept
        self.skipped = {
            i: found.skipped[name]
            for i, name in enumerate(self.source.names)
            if name in found.skipped
        }

    def _reopen(self) -> None:
        """Make a finished folder an unfinished one; what has not changed stays done.

        The index goes last, so that the folder is finished as it was before until all is ready.
        """
        found = load_features(self.out)
        rows = {
            index: row
            for row, index in enumerate(
                i for i, name in enumerate(self.source.names) if name not in found.skipped
            )
        }
        temporary = self.out / f".{PARTIAL_FEATURES}.tmp"
        matrix = new_matrix(temporary, self._shape)
        for index in np.flatnonzero(self._done).tolist():
            matrix[index] = found.matrix[rows[index]]
        matrix.flush()
        temporary.replace(self.out / PARTIAL_FEATURES)
        self._write_state()
        for name in (INDEX_FILE, DIGEST_FILE, FEATURES_FILE):
            (self.out / name).unlink()

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
