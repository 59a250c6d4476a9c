"""The table of published scores as an import takes it: versions by reference, scores as float32."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from mtl.kadis.metric_names import chosen_metrics
from mtl.kadis.names import parse_version
from mtl.kadis.recipes import Version
from mtl.published.score_tables import published_rows
from mtl.runtime.files import InputError
from mtl.runtime.pictures import Rejected

UNKNOWN_SEED = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table that can be used as far as its names and numbers go."""

    name: str
    version: Version
    scores: int
    """Row of the array of scores."""


@dataclass(frozen=True)
class ScoreTable:
    """The rows of the table, in its order."""

    metrics: tuple[str, ...]
    scores: Float32[np.ndarray, "n k"]
    entries: Mapping[str, list[Entry]]
    """By reference."""
    rejected: tuple[Rejected, ...]


def read_score_table(path: Path, wanted: Sequence[str]) -> ScoreTable:
    """Read a table; rows whose scores are not finite float32 numbers are left out.

    Args:
        path: of the CSV file.
        wanted: metrics to keep; all that the table has when empty.

    Raises:
        InputError: the table cannot be used, or lacks a wanted metric.
    """
    metrics: tuple[str, ...] = ()
    scores = array("d")
    entries: dict[str, list[Entry]] = {}
    rejected = []
    names: dict[tuple[str, int, int], str] = {}
    largest = float(np.finfo(np.float32).max)
    for row in published_rows(path):
        where = f"{path}: line {row.line}: {row.distorted}"
        metrics = metrics or _chosen(path, wanted, tuple(row.scores))
        try:
            _, distortion, level = parse_version(row.distorted)
        except ValueError as error:
            raise InputError(f"{where} {error}") from error
        same = names.setdefault((row.reference, distortion, level), row.distorted)
        if same != row.distorted:
            raise InputError(
                f"{where} and {same} are both type {distortion} at level {level} of"
                f" {row.reference}; remove one"
            )
        wrong = [m for m in metrics if not abs(row.scores[m]) <= largest]
        if wrong:
            rejected.append(Rejected(row.distorted, f"its {wrong[0]} is {row.scores[wrong[0]]}"))
            continue
        version = Version(distortion, level, UNKNOWN_SEED)
        entries.setdefault(row.reference, []).append(
            Entry(row.distorted, version, len(scores) // len(metrics))
        )
        scores.extend(row.scores[m] for m in metrics)
    numbers = np.array(scores, np.float32)
    return ScoreTable(metrics, numbers.reshape(-1, len(metrics)), entries, tuple(rejected))


def _chosen(path: Path, wanted: Sequence[str], there: tuple[str, ...]) -> tuple[str, ...]:
    """The metrics to keep."""
    if not wanted:
        return there
    chosen = chosen_metrics(wanted)
    for metric in chosen:
        if metric not in there:
            raise InputError(f"{path}: has no column of {metric}; it has {' '.join(there)}")
    return chosen
