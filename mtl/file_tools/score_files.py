"""Full-reference scores of picture files against their references."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from fr_metrics import METRICS, Metric, score_all
from fr_metrics.sff import load_matrix, sff
from mtl.file_tools.pairing import pair_names
from mtl.runtime import compilation_cache
from mtl.runtime.files import InputError
from mtl.runtime.pictures import Rejected, read_picture
from mtl.runtime.progress import progress_bar
from mtl.runtime.tables.csv_tables import read_table, table_header
from mtl.runtime.tables.finder import RealPaths

# Distorted versions scored in one call: the reference's half is computed once for all of them.
BATCH_SIZE = 5


@dataclass(frozen=True)
class Pair:
    """A reference and the files of its distorted versions."""

    reference: Path
    distorted: tuple[Path, ...]


@dataclass(frozen=True)
class Scored:
    """The scores of one distorted file."""

    reference: Path
    distorted: Path
    scores: Mapping[str, float]


def pair_folders(
    references: Path, distorted: Path, tell: Callable[[str], None] | None = None
) -> tuple[list[Pair], list[Rejected]]:
    """Pair the pictures of two folders by their names, as `mtl.file_tools.pairing` says.

    Args:
        references: folder of pristine pictures.
        distorted: folder of their versions.
        tell: called with a line for each kind of file that folders' pictures are without.

    Returns:
        The pairs, and the pictures of either folder that belong to none, with the reason.

    Raises:
        InputError: as `mtl.file_tools.pairing.pair_names`.
    """
    found = pair_names(references, distorted, tell)
    paths = RealPaths()
    originals = {paths.real(references / name) for name in found.versions}

    def why(name: str) -> str:
        path = distorted / name
        linked = path.is_symlink() and paths.real(path) in originals
        return "is a link to a picture" if linked else "is named like no picture"

    pairs = [
        Pair(references / reference, tuple(distorted / name for name in names))
        for reference, names in found.versions.items()
    ]
    lone = [
        *(
            Rejected(name, f"{distorted / name}: {why(name)} of {references}")
            for name in found.lone_distorted
        ),
        *(
            Rejected(name, f"{references / name}: no picture of {distorted} is named like it")
            for name in found.lone_references
        ),
    ]
    return pairs, lone


def read_pairs(table: Path) -> list[Pair]:
    """Return the pairs of a table with the columns reference and distorted, whatever their case.

    Paths are relative to the table's folder; blanks around them are not theirs.

    Raises:
        InputError: the file is missing, has another header or no rows, or names a picture twice.
    """
    columns = _pair_columns(table)
    places = RealPaths()
    references: dict[str, Path] = {}
    versions: dict[str, list[Path]] = {}
    seen: dict[tuple[str, str], int] = {}
    for row in read_table(table, columns):
        names = [row.text(column) for column in columns]
        if not all(names):
            raise row.error("lacks its reference or its distorted picture; complete or remove it")
        files = [table.parent / name for name in names]
        reference, distorted = map(places.place, files)
        earlier = seen.setdefault((reference, distorted), row.line)
        if earlier != row.line:
            raise row.error(f"{names[1]} is there twice, first in line {earlier}; remove one")
        references.setdefault(reference, files[0])
        versions.setdefault(reference, []).append(files[1])
    return [Pair(references[each], tuple(files)) for each, files in versions.items()]


def _pair_columns(table: Path) -> list[str]:
    """Return the columns of a table of pairs as its header spells them."""
    spelled: dict[str, str] = {}
    if table.is_file():
        with suppress(InputError):  # what is wrong with the header is said when it is read
            spelled = {column.casefold(): column for column in table_header(table)}
    return [spelled.get(column, column) for column in ("reference", "distorted")]


def score_pairs(
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    *,
    sff_matrix: Path | None = None,
    progress: bool = False,
) -> tuple[list[Scored], list[Rejected]]:
    """Score all distorted files; those that cannot be used are returned with their reason.

    Raises:
        InputError: none can be used, or `sff_matrix` is not a matrix for SFF.
    """
    functions = [_with_matrix(METRICS[name], sff_matrix) for name in metrics]
    compilation_cache.enable()
    scored: list[Scored] = []
    rejected: list[Rejected] = []
    total = sum(len(pair.distorted) for pair in pairs)
    with progress_bar(total, "score", "img", show=progress) as bar:
        for pair in pairs:
            for done, refused in score_versions(pair, functions):
                scored += done
                rejected += refused
                bar.update(len(done) + len(refused))
    if not scored:
        raise InputError(f"nothing could be scored; the first: {rejected[0].reason}")
    return scored, rejected


def score_versions(
    pair: Pair, metrics: Sequence[Metric], *, width: int | None = None
) -> Iterator[tuple[list[Scored], list[Rejected]]]:
    """Score the versions of one reference, batch by batch.

    Args:
        pair: the files.
        metrics: to score with.
        width: pictures per call, at most `BATCH_SIZE`; a shorter batch is filled up with its last
            picture, since every shape is compiled for itself. The number of versions, if not given.

    Yields:
        The scores of a batch's files, and those that cannot be used with their reason.
    """
    width = min(BATCH_SIZE, width or len(pair.distorted))
    try:
        reference = read_picture(pair.reference)
        _check_size(pair.reference, reference.shape, [metric.name for metric in metrics])
    except InputError as error:
        yield [], [Rejected(str(file), str(error)) for file in pair.distorted]
        return
    for start in range(0, len(pair.distorted), width):
        scored: list[Scored] = []
        rejected: list[Rejected] = []
        images, files = [], []
        for file in pair.distorted[start : start + width]:
            try:
                image = read_picture(file)
                _check_same_size(file, image.shape, pair.reference, reference.shape)
                images.append(image)
                files.append(file)
            except InputError as error:
                rejected.append(Rejected(str(file), str(error)))
        if files:
            images += images[-1:] * (width - len(images))
            values = score_all(reference, np.stack(images), metrics)
            arrays = {name: np.asarray(values[name], np.float64) for name in values}
            scored = [
                Scored(pair.reference, file, {m: float(a[k]) for m, a in arrays.items()})
                for k, file in enumerate(files)
            ]
        yield scored, rejected


def _with_matrix(metric: Metric, sff_matrix: Path | None) -> Metric:
    """SFF with another matrix than its own; all other metrics as they are."""
    if metric.name != "sff" or sff_matrix is None:
        return metric
    try:
        return replace(metric, function=partial(sff, matrix=load_matrix(sff_matrix)))
    except (OSError, ValueError) as error:
        raise InputError(f"{sff_matrix}: is not a matrix for SFF ({error})") from error


def _check_size(path: Path, shape: tuple[int, ...], metrics: Sequence[str]) -> None:
    for metric in metrics:
        least = METRICS[metric].min_size
        if min(shape[:2]) < least:
            raise InputError(
                f"{path}: {shape[1]}×{shape[0]} is too small for {metric}, which needs {least}"
                " pixels a side; leave it out with --metrics"
            )


def _check_same_size(
    path: Path, shape: tuple[int, ...], reference: Path, other: tuple[int, ...]
) -> None:
    if shape != other:
        raise InputError(
            f"{path}: is {shape[1]}×{shape[0]} but its reference {reference} is"
            f" {other[1]}×{other[0]}; they must have the same size"
        )
