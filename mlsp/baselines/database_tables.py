"""What MLSP features are compared with: full-reference scores by themselves, and BRISQUE.

Both are computed once per database and kept in a table that a killed run continues:

OUT/full_reference.csv   image, made_from, one column per metric (as the metric defines it), reason
OUT/brisque.csv          image, made_from, f1 ... f36, reason

A picture that cannot be used has NaN and its reason; the next run tries it again. made_from is a
digest of the program and of the files that a row's numbers come from; a row whose picture,
reference or program has changed is made again.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float64

import fr_metrics
from fr_metrics import METRICS
from mlsp.baselines import brisque
from mlsp.databases import Database
from mlsp.features.sources import Source
from mtl.file_tools.score_files import Pair, score_versions
from mtl.kadis.metric_names import chosen_metrics
from mtl.runtime import compilation_cache, pictures
from mtl.runtime.contents import content_digests, digest_each, digest_of, program_digest
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import read_table, table_text
from mtl.runtime.threads import in_order

FULL_REFERENCE_FILE, BRISQUE_FILE = "full_reference.csv", "brisque.csv"
BRISQUE_COLUMNS = tuple(f"f{n}" for n in range(1, brisque.LENGTH + 1))

# How much work a killed run may lose; writing takes at most a twentieth of the time.
SECONDS_BETWEEN_WRITES = 5.0
LARGEST_SHARE_OF_WRITING = 0.05

SKIPPED_NAMED = 10  # pictures on standard error; the table names all


def full_reference_scores(
    database: Database, out: Path, *, metrics: Sequence[str] = (), progress: bool = False
) -> dict[str, Float64[np.ndarray, " n"]]:
    """Scores of every picture against its reference, by metric; what is there is not done again.

    A row is made again when its picture or reference has changed.

    Args:
        database: of which at least one picture has a reference file.
        out: folder for `full_reference.csv`.
        metrics: names in `METRICS`; all eleven when none is given.
        progress: report on standard error.

    Returns:
        For each metric one number per picture in the database's order, higher is better: metrics
        that measure a distance (MDSI, GMSD) are negated. NaN where a picture or its reference
        cannot be used; the table has the reason.

    Raises:
        InputError: no picture has a reference, a metric is not known, or `out` holds other scores.
    """
    chosen = chosen_metrics(metrics)
    versions: dict[str, list[int]] = {}
    for row, file in enumerate(database.reference_files):
        if file is not None:
            versions.setdefault(file, []).append(row)
    if not versions:
        raise InputError(
            f"{database.root}: no picture of {database.name} has a pristine reference, which"
            " full-reference scores need; leave them out"
        )
    program = program_digest(fr_metrics, pictures)
    of_references = dict(zip(versions, _contents(database, versions, progress), strict=True))
    made_from = [
        digest_of(program, content, None if file is None else of_references[file])
        for content, file in zip(
            _contents(database, database.names, progress), database.reference_files, strict=True
        )
    ]
    table = _Table(out / FULL_REFERENCE_FILE, database.names, chosen, made_from)
    for row in range(len(database)):
        if database.reference_files[row] is None:
            table.skip(row, "has no reference")
    table.tell(progress)
    with (
        table.kept(),
        progress_bar(len(database), "score", "img", show=progress, done=table.number_done) as bar,
    ):
        if table.number_done < len(database):
            compilation_cache.enable()
        for file, rows in versions.items():
            missing = {
                database.root / database.names[row]: row for row in rows if not table.done[row]
            }
            if not missing:
                continue
            pair = Pair(database.root / file, tuple(missing))
            batches = score_versions(pair, [METRICS[name] for name in chosen], width=len(rows))
            for scored, rejected in batches:
                for each in scored:
                    scores = [each.scores[name] for name in chosen]
                    table.write(missing[each.distorted], scores)
                for each in rejected:
                    table.skip(missing[Path(each.file)], each.reason)
                bar.update(len(scored) + len(rejected))
    table.report(progress)
    signs = {name: 1.0 if METRICS[name].higher_is_better else -1.0 for name in chosen}
    return {name: signs[name] * table.values[:, k] for k, name in enumerate(chosen)}


def _contents(database: Database, names: Iterable[str], progress: bool) -> list[str]:
    return content_digests([database.root / name for name in names], progress=progress)


def brisque_features(
    source: Source, out: Path, *, progress: bool = False
) -> Float64[np.ndarray, "n 36"]:
    """BRISQUE's features of every picture, in threads; what is there is not done again.

    A row is made again when its picture has changed.

    Args:
        source: the pictures, such as `Database.source()`.
        out: folder for `brisque.csv`.
        progress: report on standard error.

    Returns:
        One row per picture in the source's order; NaN where a picture cannot be used, for which
        the table has the reason.

    Raises:
        InputError: `out` holds features of other pictures.
    """
    program = program_digest(brisque, pictures)
    contents = digest_each(range(len(source.names)), source.content, progress=progress)
    made_from = [digest_of(program, content) for content in contents]
    table = _Table(out / BRISQUE_FILE, source.names, BRISQUE_COLUMNS, made_from)
    table.tell(progress)

    def features(row: int) -> np.ndarray | str:
        try:
            return brisque.brisque(source.load(row))
        except (InputError, ValueError) as error:
            return str(error)

    missing = np.flatnonzero(~table.done).tolist()
    with (
        table.kept(),
        progress_bar(
            len(source.names), "BRISQUE", "img", show=progress, done=table.number_done
        ) as bar,
    ):
        for row, found in zip(missing, in_order(features, missing), strict=True):
            if isinstance(found, str):
                table.skip(row, found)
            else:
                table.write(row, found)
            bar.update()
    table.report(progress)
    return table.values


class _Table:
    """Rows of numbers by picture, kept in a CSV file that is whole at any moment.

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
        """Pictures that have their numbers, or were found to have none by this run."""
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
        """Whatever ends the block, what is done is in the file."""
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
