"""Comparison with a published file of full-reference scores, metric by metric.

Such a file is KADIS-700k's `kadis700k_friqa.csv`: columns dist_im and ref_im, then one per metric.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from fr_metrics import METRICS
from mtl.evaluation.correlation import srocc
from mtl.file_tools.score_files import Pair, Scored
from mtl.kadis.names import files_of
from mtl.runtime.file_names import is_inside
from mtl.runtime.files import InputError
from mtl.runtime.pictures import Rejected, list_pictures
from mtl.runtime.tables.csv_tables import table_rows
from mtl.runtime.tables.finder import Finder, RealPaths

DISTORTED, REFERENCE = "dist_im", "ref_im"

# What a metric's column may be called beside its name; the paper's FSIM is the one with colour.
OTHER_NAMES = {"fsim": "fsimc"}


@dataclass(frozen=True)
class PublishedRow:
    """One line of a published file."""

    line: int
    distorted: str
    reference: str
    scores: Mapping[str, float]
    """By metric, named and ordered as in `METRICS`; NaN where the file says so."""


@dataclass(frozen=True)
class Published:
    """The scores of a published file, by the name of the distorted picture."""

    references: Mapping[str, str]
    """Name of the reference of each distorted picture."""
    scores: Mapping[str, Mapping[str, float]]
    """Per distorted picture: scores by metric, named as in `METRICS`."""
    metrics: tuple[str, ...]
    """The metrics of the file that `METRICS` has too, in its order."""


def published_rows(path: Path) -> Iterator[PublishedRow]:
    """Yield the lines of a published file; what is wrong is raised on the way.

    A column is a metric's whatever its case and its separators. Names are without `./` and blanks
    around them.

    Raises:
        InputError: the file is missing, has another header, names a picture twice or one outside
            its folder, has no column of a known metric or two of one, or holds something that is
            neither a number nor nan or inf.
    """
    columns: dict[str, str] = {}
    seen: set[str] = set()
    for row in table_rows(path, (DISTORTED, REFERENCE)):
        columns = columns or _metric_columns(path, row)
        for column in (DISTORTED, REFERENCE):
            if not row.text(column):
                raise row.error(f"lacks its {column}; complete it")
            if not is_inside(row.text(column)):
                raise row.error(
                    f"{row.text(column)} is not a name inside a folder; write {column} relative to"
                    " the folder of pictures, without .."
                )
        name = PurePosixPath(row.text(DISTORTED)).as_posix()
        reference = PurePosixPath(row.text(REFERENCE)).as_posix()
        if name in seen:
            raise row.error(f"{name} is there twice; remove one of the rows")
        seen.add(name)
        scores = {metric: row.number(c, finite=False) for metric, c in columns.items()}
        yield PublishedRow(row.line, name, reference, scores)


def read_published(path: Path) -> Published:
    """A whole published file.

    Raises:
        InputError: as `published_rows`.
    """
    references: dict[str, str] = {}
    scores: dict[str, Mapping[str, float]] = {}
    for row in published_rows(path):
        references[row.distorted] = row.reference
        scores[row.distorted] = row.scores
    return Published(references, scores, tuple(next(iter(scores.values()))))


def _metric_columns(path: Path, header: Mapping[str, str]) -> dict[str, str]:
    """The column of each metric that the file has, in the order of `METRICS`."""
    names = {_plain(name): name for name in METRICS}
    plain = [_plain(column) for column in header]
    names |= {other: name for other, name in OTHER_NAMES.items() if _plain(name) not in plain}
    found: dict[str, str] = {}
    for column in header:
        metric = names.get(_plain(column))
        if metric in found:
            raise InputError(f"{path}: {found[metric]} and {column} are both {metric}; remove one")
        if metric is not None:
            found[metric] = column
    if not found:
        raise InputError(f"{path}: no column is named like a metric: {', '.join(METRICS)}")
    return {metric: found[metric] for metric in METRICS if metric in found}


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def pair_published(
    published: Published, references: Path, distorted: Path
) -> tuple[list[Pair], list[Rejected]]:
    """Pair the pictures of a published file that are in two folders, whatever the case there.

    Returns:
        The pairs, and what is left out with the reason: rows whose pictures are not there, and
        pictures of either folder that no row names.

    Raises:
        InputError: none of the pictures is there, or two rows name one file.
    """
    files, finder = _files_of(published, distorted), Finder(references)
    there: dict[str, list[Path]] = {}
    left_out = []
    for name, reference in published.references.items():
        file, reference_file = files.get(name), finder.first_file([reference])
        if file is not None and reference_file is not None:
            there.setdefault(reference_file, []).append(distorted / file)
            continue
        absent = distorted / name if file is None else references / reference
        left_out.append(Rejected(name, f"{absent}: no such picture file"))
    if not there:
        raise InputError(
            f"{distorted}: none of the {len(left_out)} pictures of the published file can be"
            f" compared; the first, {left_out[0].reason}"
        )
    pairs = [Pair(references / name, tuple(paths)) for name, paths in there.items()]
    paths = RealPaths()
    # The folders may be one, as KADID-10k's of all pictures, or one within the other.
    known = {paths.real(distorted / file) for file in files.values()}
    known |= {paths.real(pair.reference) for pair in pairs}
    for folder in (distorted, references):
        for name in list_pictures(folder):
            real = paths.real(folder / name)
            if real not in known:
                left_out.append(
                    Rejected(name, f"{folder / name}: the published file does not name it")
                )
                known.add(real)
    return pairs, left_out


def _files_of(published: Published, distorted: Path) -> dict[str, str]:
    """Return the file of each distorted picture that is there, by its name in the table."""
    finder = Finder(distorted)
    files: dict[str, str] = {}
    names: dict[str, str] = {}
    for name in published.references:
        try:
            spellings = files_of(name)
        except ValueError:
            spellings = [name]
        file = finder.first_file(spellings)
        if file is None:
            continue
        if names.setdefault(file, name) != name:
            raise InputError(
                f"{distorted / file}: is both {names[file]} and {name} of the published file;"
                " remove one of its rows"
            )
        files[name] = file
    return files


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
    names_of = {file: name for name, file in _files_of(published, distorted).items()}
    names = [names_of[each.distorted.relative_to(distorted).as_posix()] for each in scored]
    for metric in metrics:
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
