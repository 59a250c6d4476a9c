"""One shard, held against its stats file and against the plan; every record is decoded."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import Float32
from tensorflow_datasets.core.features import FeaturesDict

from distortions import DISTORTIONS
from mtl.kadis.origins import DataSetPlan
from mtl.kadis.recipes import Version
from mtl.kadis.records import PRISTINE, name_of
from mtl.kadis.shards import STATS, Shard, number_of_records, stats_path
from mtl.kadis.verification.findings import listed
from mtl.runtime.files import file_digest

# Records that a thread decodes before it reports: a fraction of a second of work.
PIECE = 16

# ArrayRecord's way to read one record without those after it.
RANDOM_ACCESS = "readahead_buffer_size:0,max_parallelism:0"

LONGEST_REASON = 60  # characters of a library's message that are shown


@dataclass(frozen=True)
class Fault:
    """Something wrong with a shard."""

    check: str
    """What found it: stats, checksums, records or split."""
    what: str


@dataclass(frozen=True)
class Row:
    """What a record, or the stats file, says of one image."""

    reference: str
    version: Version
    scores: tuple[float, ...]
    """Raw, in the order of the plan's metrics."""

    def __str__(self) -> str:
        known = DISTORTIONS.get(self.version.distortion)
        name = known.name if known else f"distortion {self.version.distortion}"
        return f"{self.reference} {name} level {self.version.level}"


@dataclass(frozen=True)
class Inspected:
    """What was found in one shard."""

    shard: Shard
    faults: tuple[Fault, ...]
    bytes: int
    """Of the record file; 0 if it is not there."""
    images: int
    """How many could be decoded."""
    due: int
    """How many there should be."""
    references: frozenset[str]
    """What they are versions of."""
    kept: tuple[str, ...]
    """The planned references that should have images, in the order of the records."""
    scores: Mapping[str, Float32[np.ndarray, " n"]]
    """By metric, as the records have them."""


@dataclass(frozen=True)
class _Stats:
    """What a stats file says."""

    bytes: int
    sha256: str
    rows: Sequence[Row]
    left_out: Mapping[str, str]
    """Reasons by reference."""


def inspect_shard(
    planned: DataSetPlan,
    shard: Shard,
    left_out: Mapping[str, str],
    pool: Executor,
    report: Callable[[int], object],
) -> Inspected:
    """Read everything there is of a shard; whatever is wrong becomes a fault.

    Args:
        planned: the data set's plan.
        shard: which part of it.
        left_out: reasons by reference, from the manifest.
        pool: threads to read with.
        report: called with numbers of images as they are decoded.
    """
    file = planned.folder / shard.file
    stats, wrong = _read_stats(planned, shard)
    faults = [Fault("stats", text) for text in wrong]
    if stats:
        said = [name for name, reason in stats.left_out.items() if left_out.get(name) != reason]
        said += [n for n in shard.references if n in left_out and n not in stats.left_out]
        if said:
            faults.append(Fault("stats", listed("left out otherwise than in the manifest", said)))
        left_out = stats.left_out
    digest = pool.submit(_wrong_bytes, file, stats)
    rows, unreadable = _read_rows(planned, file, pool, report)
    kept = tuple(name for name in shard.references if name not in left_out)
    stated = [(row.reference, row.version) for row in (stats.rows if stats else rows)]
    due = planned.images_due(kept, stated)
    faults += [Fault("checksums", text) for text in digest.result()]
    if file.exists():
        wrong = [*unreadable, *_against_plan(rows, due, whole=not unreadable)]
        wrong += _not_finite(rows, planned.metrics)
        faults += [Fault("records", text) for text in wrong]
        if stats and not unreadable:
            wrong = _against_stats(rows, stats, planned.metrics)
            faults += [Fault("stats", text) for text in wrong]
    table = np.array([row.scores for row in rows], np.float32)
    columns = table.reshape(len(rows), len(planned.metrics)).T
    return Inspected(
        shard,
        tuple(faults),
        file.stat().st_size if file.exists() else 0,
        len(rows),
        len(due),
        frozenset(row.reference for row in rows),
        kept,
        dict(zip(planned.metrics, columns, strict=True)),
    )


@contextmanager
def opened_records(file: Path) -> Iterator[ArrayRecordReader]:
    """Context manager: a reader for single records; errors come when they are read."""
    reader = ArrayRecordReader(str(file), RANDOM_ACCESS)
    try:
        yield reader
    finally:
        with suppress(RuntimeError):  # what was wrong has been said by `read`
            reader.close()


def rows_of(record: Mapping[str, Any], metrics: Sequence[str]) -> list[Row]:
    """What a record, as TFDS decodes it, of either store, says of its images."""
    columns = [np.atleast_1d(record[name]) for name in ("distortion", "level", "seed")]
    scores = np.stack([np.atleast_1d(record["scores"][metric]) for metric in metrics], axis=1)
    return [
        Row(name_of(record["reference"]), Version(*map(int, of)), tuple(map(float, values)))
        for *of, values in zip(*columns, scores, strict=True)
    ]


def _read_stats(planned: DataSetPlan, shard: Shard) -> tuple[_Stats | None, list[str]]:
    """The stats of a shard, and what is wrong with the file."""
    path = stats_path(planned.folder, shard)
    name = f"{STATS}/{path.name}"
    if not path.is_file():
        return None, [f"{name} is missing"]
    try:
        content = json.loads(path.read_text())
        rows = [
            Row(
                str(one["reference"]),
                Version(int(one["distortion"]), int(one["level"]), int(one["seed"])),
                tuple(float(one["scores"][metric]) for metric in planned.metrics),
            )
            for one in content["records"]
        ]
        left_out = {str(one["file"]): str(one["reason"]) for one in content["rejected"]}
        stats = _Stats(int(content["bytes"]), str(content["sha256"]), rows, left_out)
        if (content["file"], content["split"]) != (shard.file, shard.split):
            return None, [f"{name} is that of {content['file']}"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, [f"{name} is damaged"]
    return stats, []


def _wrong_bytes(file: Path, stats: _Stats | None) -> list[str]:
    """How a file's bytes differ from what its stats say of them."""
    try:
        size = file.stat().st_size
        if stats and size != stats.bytes:
            return [f"has {size:,} bytes where it had {stats.bytes:,}"]
        if stats and file_digest(file) != stats.sha256:
            return ["its SHA-256 is not the one in its stats file"]
    except FileNotFoundError:
        return ["is missing"]
    except OSError as error:
        return [_brief(error)]
    return []


def _read_rows(
    planned: DataSetPlan, file: Path, pool: Executor, report: Callable[[int], object]
) -> tuple[list[Row], list[str]]:
    """What the records of a file say, and what could not be read."""
    try:
        number = number_of_records(file)
    except RuntimeError as error:
        return [], [_brief(error)]
    read = partial(_read_piece, file, planned.features, planned.size, planned.metrics)
    rows: list[Row] = []
    bad: list[tuple[int, str]] = []
    pieces = [range(start, min(start + PIECE, number)) for start in range(0, number, PIECE)]
    for found, unreadable in pool.map(read, pieces):
        rows += found
        bad += unreadable
        report(len(found))
    names = [f"number {index} ({reason})" for index, reason in bad]
    return rows, [listed("records that cannot be read", names)] if names else []


def _read_piece(
    file: Path,
    features: FeaturesDict,
    size: tuple[int, int],
    metrics: Sequence[str],
    indices: range,
) -> tuple[list[Row], list[tuple[int, str]]]:
    """What some records say, and which cannot be read for what reason."""
    rows: list[Row] = []
    bad: list[tuple[int, str]] = []
    with opened_records(file) as reader:
        for index in indices:
            try:
                record = features.deserialize_example_np(reader.read([index])[0])
                described = rows_of(record, metrics)
                image = record[PRISTINE if PRISTINE in record else "image"]
            except Exception as error:  # ArrayRecord, protobuf and TFDS have many kinds
                bad.append((index, _brief(error)))
                continue
            if image.shape != (*size, 3) or image.dtype != np.uint8:
                bad.append((index, f"an image of shape {image.shape}"))
            else:
                rows += described
    return rows, bad


def _against_plan(
    rows: Sequence[Row], expected: Sequence[tuple[str, Version]], *, whole: bool
) -> Iterator[str]:
    """How the images of a shard differ from those planned for it."""
    found = [(row.reference, row.version) for row in rows]
    counts = Counter(found)
    due = set(expected)
    foreign = [key for key in counts if key not in due]
    double = [key for key, count in counts.items() if count > 1]
    missing = [key for key in expected if key not in counts] if whole else []
    for what, keys in (
        ("images that are not planned for it", foreign),
        ("images that are there twice", double),
        ("images that are missing", missing),
    ):
        if keys:
            yield listed(what, [str(Row(*key, ())) for key in keys])
    if whole and not (foreign or double or missing) and found != list(expected):
        yield "its images are not in the order of the plan"


def _not_finite(rows: Sequence[Row], metrics: Sequence[str]) -> Iterator[str]:
    bad = [row for row in rows if not np.isfinite(row.scores).all()]
    if bad:
        metric = metrics[int(np.flatnonzero(~np.isfinite(bad[0].scores))[0])]
        names = [str(row) for row in bad]
        yield listed("images with scores that are not finite", names) + f", {metric}"


def _against_stats(rows: Sequence[Row], stats: _Stats, metrics: Sequence[str]) -> Iterator[str]:
    """How the stats file differs from the records."""
    if len(stats.rows) != len(rows):
        yield f"its stats file lists {len(stats.rows)} images, the file holds {len(rows)}"
        return
    pairs = zip(stats.rows, rows, strict=True)
    different = [(said, stored) for said, stored in pairs if said != stored]
    if not different:
        return
    said, stored = different[0]
    if (said.reference, said.version) != (stored.reference, stored.version):
        how = f"{said} instead of {stored}"
    else:
        k = int(np.flatnonzero(np.array(said.scores) != np.array(stored.scores))[0])
        how = f"{said}, {metrics[k]} {said.scores[k]:.6g} instead of {stored.scores[k]:.6g}"
    yield f"images of which its stats file says otherwise: {len(different)}, first {how}"


def _brief(error: Exception) -> str:
    """A library's message, shortened."""
    return shorten(str(error) or type(error).__name__, LONGEST_REASON, placeholder=" …")
