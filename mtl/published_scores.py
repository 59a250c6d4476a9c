"""Comparison with a published file of full-reference scores, metric by metric.

Such a file is KADIS-700k's `kadis700k_friqa.csv`: columns dist_im and ref_im, then one per metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fr_metrics import METRICS
from mtl.correlation import srocc
from mtl.files import InputError, read_table
from mtl.pictures import Rejected
from mtl.score_files import Pair, Scored

DISTORTED, REFERENCE = "dist_im", "ref_im"


@dataclass(frozen=True)
class Published:
    """The scores of a published file, by the name of the distorted picture."""

    references: Mapping[str, str]
    """Name of the reference of each distorted picture."""
    scores: Mapping[str, Mapping[str, float]]
    """Per distorted picture: scores by metric, named as in `METRICS`."""
    metrics: tuple[str, ...]
    """The metrics of the file that `METRICS` has too, in its order."""


def read_published(path: Path) -> Published:
    """Read a published file; a column is a metric's whatever its case and its separators.

    Raises:
        InputError: the file is missing, has another header, names a picture twice, has no column
            of a known metric, or holds something that is not a number.
    """
    rows = read_table(path, (DISTORTED, REFERENCE))
    known = {_plain(name): name for name in METRICS}
    columns = {known[_plain(c)]: c for c in rows[0] if _plain(c) in known}
    if not columns:
        raise InputError(f"{path}: no column is named like a metric: {', '.join(METRICS)}")
    references: dict[str, str] = {}
    scores: dict[str, dict[str, float]] = {}
    for number, row in enumerate(rows, start=2):
        name = row[DISTORTED]
        if name in references:
            raise InputError(f"{path}: line {number}: {name} is there twice")
        references[name] = row[REFERENCE]
        try:
            scores[name] = {metric: float(row[column]) for metric, column in columns.items()}
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: line {number}: {name} has no number ({error})") from error
    return Published(references, scores, tuple(m for m in METRICS if m in columns))


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def pair_published(
    published: Published, references: Path, distorted: Path
) -> tuple[list[Pair], list[Rejected]]:
    """Pairs of the published file whose pictures are in two folders, and what is not there.

    Raises:
        InputError: none of the pictures is there.
    """
    there: dict[str, list[Path]] = {}
    missing = []
    for name, reference in published.references.items():
        files = {distorted / name, references / reference}
        absent = sorted(str(file) for file in files if not file.is_file())
        if absent:
            missing.append(Rejected(name, f"{absent[0]}: no such picture file"))
        else:
            there.setdefault(reference, []).append(distorted / name)
    if not there:
        raise InputError(
            f"{distorted}: none of the {len(missing)} pictures of the published file can be"
            f" compared; the first, {missing[0].reason}"
        )
    return [Pair(references / name, tuple(files)) for name, files in there.items()], missing


@dataclass(frozen=True)
class Agreement:
    """How one metric agrees with the published scores."""

    metric: str
    pictures: int
    median_difference: float
    """Of the absolute differences, in the metric's unit."""
    largest_difference: float
    srocc: float
    """Spearman's rank correlation; NaN if one side is constant or there is one picture."""
    worst: str
    """Name of the distorted picture with the largest difference."""


def agreement(
    scored: Sequence[Scored], published: Published, distorted: Path, metrics: Sequence[str]
) -> list[Agreement]:
    """Compare our scores with the published ones; published scores that are NaN are left out."""
    found = []
    for metric in metrics:
        names = [each.distorted.relative_to(distorted).as_posix() for each in scored]
        theirs = np.array([published.scores[name][metric] for name in names])
        ours = np.array([each.scores[metric] for each in scored])
        valid = np.isfinite(theirs)
        if not valid.any():
            continue
        difference = np.where(valid, np.abs(ours - theirs), -1.0)
        found.append(
            Agreement(
                metric,
                int(valid.sum()),
                float(np.median(difference[valid])),
                float(difference.max()),
                srocc(ours[valid], theirs[valid]),
                names[int(difference.argmax())],
            )
        )
    return found
