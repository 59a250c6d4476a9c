"""A table of numbers by picture that a stopped run leaves whole and the next one continues.

image, made_from, one column per number, reason

A picture that cannot be used has NaN and its reason; the next run tries it again. made_from is a
digest of the program and of the files that a row's numbers come from; a row whose picture,
reference or program has changed is made again.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import read_table, table_text

# How much work a killed run may lose; writing takes at most a twentieth of the time.
SECONDS_BETWEEN_WRITES = 5.0
LARGEST_SHARE_OF_WRITING = 0.05

SKIPPED_NAMED = 10  # pictures on standard error; the table names all


class PictureTable:
    """Keep rows of numbers by picture in a CSV file that is whole at any moment.

    Args:
        path: the file; its rows that were made from the same are taken.
        names: of the pictures.
        columns: of the numbers.
        made_from: for each picture, a digest of all that its numbers come from.

    Raises:
        InputError: the file there is damaged or of other pictures or columns.
    """

    def __init__(
        self, path: Path, names: Sequence[str], columns: Sequence[str], made_from: Sequence[str]
    ):
        self._path, self._names, self._columns = path, list(names), list(columns)
        self._made_from, self._outdated = list(made_from), 0
        self.values = np.full((len(self._names), len(self._columns)), np.nan)
        self.done = np.zeros(len(self._names), bool)
        self._reasons: dict[int, str] = {}
        self._pause = SECONDS_BETWEEN_WRITES
        if path.exists():
            self._read()
        self._written, self._changed = time.monotonic(), False

    @property
    def number_done(self) -> int:
        """Number of pictures that have their numbers, or were found to have none by this run."""
        return int(self.done.sum()) + len(self._reasons)

    def tell(self, show: bool) -> None:
        """Say on standard error how many rows were found and how many have to be made again."""
        if self._outdated:
            say(
                f"{self._path}: {int(self.done.sum())} rows are kept; {self._outdated} are made"
                " again, since what they were made from has changed",
                show=show,
            )

    def write(self, row: int, values: Sequence[float] | np.ndarray) -> None:
        """Take a picture's numbers."""
        if not np.isfinite(values).all():
            wrong = self._columns[int(np.flatnonzero(~np.isfinite(values))[0])]
            self.skip(row, f"{wrong} is not a finite number for it")
            return
        self.values[row] = values
        self.done[row] = True
        self._keep_sometimes()

    def skip(self, row: int, reason: str) -> None:
        """Say why a picture has no numbers."""
        self._reasons[row] = reason
        self._keep_sometimes()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write what is done to the file, whatever ends the block."""
        try:
            yield
        finally:
            if self._changed:
                self._keep()

    def report(self, show: bool) -> None:
        """Name pictures without numbers on standard error."""
        for row, reason in sorted(self._reasons.items())[:SKIPPED_NAMED]:
            say(f"left out: {self._names[row]}: {reason}", show=show)
        if len(self._reasons) > SKIPPED_NAMED:
            say(f"left out: {len(self._reasons)} in all, see {self._path}", show=show)

    def _keep_sometimes(self) -> None:
        self._changed = True
        if time.monotonic() - self._written > self._pause:
            began = time.monotonic()
            self._keep()
            taken = time.monotonic() - began
            self._pause = max(SECONDS_BETWEEN_WRITES, taken / LARGEST_SHARE_OF_WRITING)

    def _keep(self) -> None:
        rows = []
        for row in sorted({*np.flatnonzero(self.done).tolist(), *self._reasons}):
            numbers = zip(self._columns, self.values[row].tolist(), strict=True)
            reason = self._reasons.get(row, "")
            known = {"image": self._names[row], "made_from": self._made_from[row]}
            rows.append({**known, **dict(numbers), "reason": reason})
        write_atomically(self._path, table_text(rows))
        self._written, self._changed = time.monotonic(), False

    def _read(self) -> None:
        try:
            rows = read_table(self._path, ("image", "reason"))
        except InputError as error:
            raise InputError(f"{error}: is damaged; delete the file and start again") from error
        if "made_from" not in rows[0]:
            raise InputError(
                f"{self._path}: was written by another version, which does not tell of what"
                " pictures; delete it"
            )
        if list(rows[0]) != ["image", "made_from", *self._columns, "reason"]:
            raise InputError(
                f"{self._path}: has other columns than are wanted; choose another --out"
            )
        places = {name: row for row, name in enumerate(self._names)}
        for fields in rows:
            place = places.get(fields["image"])
            if place is None:
                raise fields.error(
                    f"{fields['image']} is not among the pictures; choose another --out"
                )
            if fields["reason"]:
                continue
            try:
                values = [fields.number(name) for name in self._columns]
            except InputError as error:
                raise fields.error("is damaged; delete the file and start again") from error
            if fields["made_from"] == self._made_from[place]:
                self.values[place], self.done[place] = values, True
            else:
                self._outdated += 1
