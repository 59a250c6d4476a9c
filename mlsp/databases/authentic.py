"""LIVE in the Wild, KonIQ-10k, and a user's own table: pictures as cameras took them, mostly."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mlsp.databases.author_files import (
    AGAIN,
    Finder,
    mat_numbers,
    mat_strings,
    read_mat,
    same_number,
)
from mlsp.databases.database import Database
from mtl.ratings.rated import AS_PUBLISHED, Ratings, read_ratings
from mtl.ratings.rating_scales import SD
from mtl.runtime.files import InputError
from mtl.runtime.tables.columns import UNSAID, TableColumns, named_like

# The first pictures of LIVE in the Wild's tables, which raters practised on: t1.bmp ... t7.bmp.
LIVEC_PRACTICE = 7
LIVEC_ENTRIES = 1169

LIVEC_HIGHEST = 100.0  # of MOS, from 0

KONIQ_FOLDERS = ("1024x768", "512x384")  # pixels; the first that is there

NO_COUNTS = "SD is that of the ratings, and the table has no counts that tell its unit"


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
    negative = np.flatnonzero(deviations < 0)
    if negative.size:
        place = int(negative[0]) + first + 1
        raise InputError(
            f"{finder.path('Data/AllStdDev_release.mat')}: entry {place} of AllStdDev_release is"
            f" negative, as no deviation is; {AGAIN}"
        )
    files = files[first:]
    return Database(
        name="livec",
        root=finder.root,
        names=tuple(files),
        scores=original.copy(),
        original=original,
        transformation=AS_PUBLISHED,
        lowest=0.0,
        highest=LIVEC_HIGHEST,
        deviations=deviations,
        no_deviations="",
        distributions=None,
        references=tuple(files),
        reference_files=(None,) * len(files),
        distortions=(None,) * len(files),
        levels=(None,) * len(files),
        sets=None,
    )


def read_koniq(finder: Finder, table: Path) -> Database:
    """KonIQ-10k, from the table with the official split or from the one without.

    The former's MOS is 0..100 and corrected for raters who use the scale differently, the latter's
    is the mean rating, 1..5; the counts beside it tell which. SD is that of the ratings 1..5 in
    both, so it is in the unit of the latter's scores alone: the former's are no linear function of
    the mean ratings.
    """
    ratings = read_ratings(table)
    if named_like(ratings.columns, SD) is None:
        raise InputError(f"{table}: the header must hold {SD}; {SD} is missing; {AGAIN}")
    if ratings.distributions is None and ratings.scale is None:
        ratings = replace(ratings, deviations=None, no_deviations=NO_COUNTS)
    there = (folder for folder in KONIQ_FOLDERS if finder.find(folder) is not None)
    folder = next(there, KONIQ_FOLDERS[0])
    names = tuple(f"{folder}/{name}" for name in ratings.names)
    return _of("koniq10k", finder.root, replace(ratings, names=names, references=names))


def read_csv(finder: Finder, table: Path, columns: TableColumns = UNSAID) -> Database:
    """Any table that `mtl.ratings.rated.read_ratings` takes, with more columns if it has them.

    reference_file, distortion, level, and std, the standard deviation in the score's unit; a field
    may be empty save a std. Pictures of one reference_file belong together where there is no
    column reference.
    """
    return _of(table.stem, finder.root, read_ratings(table, columns))


def _of(name: str, root: Path, ratings: Ratings) -> Database:
    """Return a table of ratings as a database."""
    nothing = (None,) * len(ratings.names)
    original = ratings.scores if ratings.original is None else ratings.original
    return Database(
        name=name,
        root=root,
        names=ratings.names,
        scores=ratings.scores.copy(),
        original=original,
        transformation=ratings.transformation,
        lowest=ratings.lowest,
        highest=ratings.highest,
        deviations=ratings.deviations,
        no_deviations=ratings.no_deviations,
        distributions=ratings.distributions,
        references=ratings.references,
        reference_files=ratings.reference_files or nothing,
        distortions=ratings.distortions or nothing,
        levels=ratings.levels or nothing,
        sets=ratings.sets,
    )
