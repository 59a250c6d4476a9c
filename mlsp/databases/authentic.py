"""LIVE in the Wild, KonIQ-10k, and a user's own table: pictures as cameras took them, mostly."""

from pathlib import Path

import numpy as np

from mlsp.databases.author_files import (
    Finder,
    mat_numbers,
    mat_strings,
    number,
    read_mat,
    same_number,
)
from mlsp.databases.database import AS_PUBLISHED, Database
from mtl.files import InputError, read_table
from mtl.rated import read_ratings

# The first pictures of LIVE in the Wild's tables, which raters practised on: t1.bmp ... t7.bmp.
LIVEC_PRACTICE = 7
LIVEC_ENTRIES = 1169

KONIQ_FOLDERS = ("1024x768", "512x384")  # pixels; the first that is there

REFERENCE_FILE, DISTORTION, LEVEL, STD = "reference_file", "distortion", "level", "std"


def read_livec(finder: Finder, table: Path, *, practice: bool = False) -> Database:
    """LIVE in the Wild: the 1,162 pictures that the literature uses, of the 1,169 in the tables.

    Args:
        finder: of the folder.
        table: Data/AllImages_release.mat.
        practice: whether the seven pictures that raters practised on come too, as the first.
    """
    names = mat_strings(table, *next(iter(read_mat(table, ["AllImages_release"]).items())))
    same_number(table, "names of pictures", len(names), LIVEC_ENTRIES)
    columns = []
    for variable in ("AllMOS_release", "AllStdDev_release"):
        path = finder.path(f"Data/{variable}.mat")
        columns.append(mat_numbers(path, variable, read_mat(path, [variable])[variable]))
        same_number(path, f"entries of {variable}", len(columns[-1]), LIVEC_ENTRIES)
    files = [
        f"Images/{'trainingImages/' if row < LIVEC_PRACTICE else ''}{name}"
        for row, name in enumerate(names)
    ]
    first = 0 if practice else LIVEC_PRACTICE
    original, deviations = (column[first:] for column in columns)
    return _without_references("livec", finder.root, files[first:], original, deviations)


def read_koniq(finder: Finder, table: Path) -> Database:
    """KonIQ-10k, from the table with the official split or from the one without.

    The former's MOS is 0..100 and corrected for raters who use the scale differently, the latter's
    is the mean rating, 1..5. Pictures of 1024×768 come before those of 512×384.
    """
    ratings = read_ratings(table)
    deviations = _optional_numbers(table, read_table(table, ("SD",)), "SD")
    there = (folder for folder in KONIQ_FOLDERS if finder.find(folder) is not None)
    folder = next(there, KONIQ_FOLDERS[0])
    return _without_references(
        "koniq10k",
        finder.root,
        [f"{folder}/{name}" for name in ratings.names],
        ratings.scores,
        deviations,
        ratings.distributions,
        ratings.sets,
    )


def read_csv(finder: Finder, table: Path) -> Database:
    """Any table that `mtl.rated.read_ratings` takes, with more columns if it has them.

    reference_file, distortion, level, and std, the standard deviation in the score's unit; a field
    may be empty save a std. Pictures of one reference_file belong together where there is no
    column reference.
    """
    ratings = read_ratings(table)
    rows = read_table(table, ())
    files = [(row.get(REFERENCE_FILE) or "").strip() or None for row in rows]
    types = [(row.get(DISTORTION) or "").strip() or None for row in rows]
    levels: list[int | None] = []
    for line, row in enumerate(rows, 2):
        text = (row.get(LEVEL) or "").strip()
        try:
            levels.append(int(text) if text else None)
        except ValueError:
            raise InputError(
                f"{table}: line {line}: level {text!r} is no whole number; correct or empty it"
            ) from None
    references = [
        file if reference == name and file is not None else reference
        for reference, name, file in zip(ratings.references, ratings.names, files, strict=True)
    ]
    return Database(
        name=table.stem,
        root=finder.root,
        names=ratings.names,
        scores=ratings.scores.copy(),
        original=ratings.scores,
        transformation=AS_PUBLISHED,
        deviations=_optional_numbers(table, rows, STD) if STD in rows[0] else None,
        distributions=ratings.distributions,
        references=tuple(references),
        reference_files=tuple(files),
        distortions=tuple(types),
        levels=tuple(levels),
        sets=ratings.sets,
    )


def _optional_numbers(table: Path, rows: list[dict[str, str]], column: str) -> np.ndarray:
    return np.array(
        [number(table, f"line {k}: {column}", row[column]) for k, row in enumerate(rows, 2)]
    )


def _without_references(
    name: str,
    root: Path,
    files: list[str],
    original: np.ndarray,
    deviations: np.ndarray,
    distributions: np.ndarray | None = None,
    sets: tuple[str, ...] | None = None,
) -> Database:
    nothing = (None,) * len(files)
    return Database(
        name=name,
        root=root,
        names=tuple(files),
        scores=original.copy(),
        original=original,
        transformation=AS_PUBLISHED,
        deviations=deviations,
        distributions=distributions,
        references=tuple(files),
        reference_files=nothing,
        distortions=nothing,
        levels=nothing,
        sets=sets,
    )
