"""From a table of raw ratings to scores that can be trusted, and how far.

OUT/scores.csv        image, c1 ... c5, c_total, MOS, SD, std: what `mtl.ratings.rated.read_ratings`
takes OUT/test_scores.csv   the same of the test questions, where there are any OUT/raters.csv
who was kept, with the figures by which OUT/removed.csv       who was removed, why, and the same
figures OUT/left_out.csv      images with too few votes of raters who were kept OUT/agreement.csv
SROCC of groups of raters with others; of the predicted images too OUT/reliability.json  counts,
intra-class correlations, random halves, experts, predictions OUT/ratings.png       drawn

reliability.json is written last: where it is, the tables are whole and belong together.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl.ratings.groups import (
    FEWEST_REPETITIONS,
    AsGoodAs,
    Groups,
    compare_groups,
)
from mtl.ratings.rated import read_ratings
from mtl.ratings.raw import IMAGE, RawRatings, read_raw
from mtl.ratings.reliability import ExpertAgreement, against_experts, intra_class
from mtl.ratings.scores import (
    Scores,
    Votes,
    score_images,
    seen_from,
    table_rows_of,
    votes_of,
)
from mtl.ratings.screening import screen
from mtl.ratings.study_tables import (
    RatingsConfig,
    Study,
    group_rows,
    jsonable,
    rater_row,
    reliability,
)
from mtl.runtime.extras import FIGURES, needs
from mtl.runtime.file_names import plain_path
from mtl.runtime.files import InputError, json_text, write_atomically
from mtl.runtime.progress import stage
from mtl.runtime.tables.columns import UNSAID, TableColumns, image_column, listed
from mtl.runtime.tables.csv_tables import read_table, table_text

SCORES_FILE, TEST_SCORES_FILE = "scores.csv", "test_scores.csv"
RATERS_FILE, REMOVED_FILE, LEFT_OUT_FILE = "raters.csv", "removed.csv", "left_out.csv"
AGREEMENT_FILE, RELIABILITY_FILE, PICTURE = "agreement.csv", "reliability.json", "ratings.png"

# Columns of a table of predictions: a benchmark's, and those of `deepfl predict`.
PREDICTED = ("predicted", "quality")

FEWEST_RATERS, FEWEST_IMAGES = 4, 3  # for groups of raters


def run_ratings(config: RatingsConfig, *, progress: bool = False) -> Study:
    """Screen raters, score images, measure the reliability, and write it all.

    Raises:
        InputError: a table cannot be used, nobody or no image is left, or a setting is out of its
            range.
    """
    needs("a study, which is drawn,", "databases", only=(*FIGURES, "pandas"))
    _check(config)
    raw = read_raw(config.raw, duplicates=config.duplicates, progress=progress)
    columns = TableColumns(config.columns, config.higher_is)
    experts = None if config.experts is None else _expert_scores(config.experts, columns)
    predictions = None if config.predictions is None else _predictions(config.predictions)
    screening = screen(raw, config)
    votes = votes_of(raw, screening.kept)
    scores = score_images(votes)
    enough = scores.votes >= config.fewest_votes
    written, tests = enough & ~raw.is_test, enough & raw.is_test
    if not written.any():
        raise InputError(
            f"{raw.table}: no image has {config.fewest_votes} votes of the"
            f" {votes.raters} raters who are left; collect more, or lower --fewest-votes"
        )
    names = _names(config, raw, written | tests)
    rated = votes.of(written)
    rng = np.random.default_rng(config.seed)
    with stage("intra-class correlation", show=progress):
        icc = {
            kind: intra_class(values, rated.image, rated.images, rng)
            for kind, values in (("raw", rated.score), ("rescaled", rated.value))
        }
    agreement = None
    if experts is not None:
        agreement = _compared_with_experts(config, raw, scores, enough, experts, rng)
    groups, model = None, None
    if votes.raters >= FEWEST_RATERS and written.sum() >= FEWEST_IMAGES:
        groups, _ = compare_groups(rated, rng, repetitions=config.repetitions, progress=progress)
    if predictions is not None:
        known = {raw.images[k] for k in np.flatnonzero(written)}
        predictions = {name: value for name, value in predictions.items() if name in known}
        model = _compared_with_model(config, raw, votes, predictions, rng, progress)
    study = Study(raw, screening, scores, written, tests, icc, groups, agreement, model)
    _write(config, study, names)
    return study


def _check(config: RatingsConfig) -> None:
    if config.fewest_votes < 2:
        raise InputError(f"--fewest-votes {config.fewest_votes}: must be at least 2")
    if config.repetitions < FEWEST_REPETITIONS:
        raise InputError(
            f"--repetitions {config.repetitions}: must be at least {FEWEST_REPETITIONS}"
        )
    if config.experts is None and (config.columns or config.higher_is is not None):
        raise InputError(
            "--columns and --higher-is are of the experts' table; say --experts, or leave them out"
        )
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: must not be negative")
    if config.out.exists() and not config.out.is_dir():
        raise InputError(f"{config.out}: is a file; give a folder for the results")


def _names(config: RatingsConfig, raw: RawRatings, chosen: np.ndarray) -> Sequence[str]:
    """The images' names in the tables."""
    if config.pictures is None:
        return raw.images
    missing = [raw.images[k] for k in np.flatnonzero(chosen)]
    missing = [name for name in missing if not (config.pictures / name).is_file()]
    if missing:
        raise InputError(
            f"{config.pictures / missing[0]}: no such file ({len(missing)} of {chosen.sum()}"
            f" images); {raw.table} must name pictures relative to --pictures"
        )
    return [seen_from(config.out, config.pictures, name) for name in raw.images]


def _expert_scores(table: Path, columns: TableColumns = UNSAID) -> dict[str, float]:
    found = read_ratings(table, columns)
    return dict(zip(map(plain_path, found.names), found.scores.tolist(), strict=True))


def _predictions(table: Path) -> dict[str, float]:
    rows = read_table(table, (), PREDICTED)
    image = image_column(table, list(rows[0]))
    column = next((name for name in PREDICTED if name in rows[0]), None)
    if column is None:
        raise InputError(
            f"{table}: the header is '{listed(list(rows[0]))}' but must hold"
            f" a column {' or '.join(PREDICTED)}; rename the column of the predictions"
        )
    found: dict[str, float] = {}
    for row in rows:
        name = plain_path(row.text(image))
        if not name:
            raise row.error(f"names no {IMAGE}; complete or remove it")
        if name in found:
            raise row.error(f"{name} is there twice; keep the rows of one method")
        found[name] = row.number(column)
    return found


def _compared_with_experts(
    config: RatingsConfig,
    raw: RawRatings,
    scores: Scores,
    enough: np.ndarray,
    experts: Mapping[str, float],
    rng: np.random.Generator,
) -> ExpertAgreement:
    both = [k for k in np.flatnonzero(enough) if raw.images[k] in experts]
    theirs = np.array([experts[raw.images[k]] for k in both])
    try:
        return against_experts(scores.mos[both], theirs, rng)
    except ValueError as error:
        raise InputError(
            f"{config.experts}: cannot be compared with {raw.table}: {error}; both name images"
            " alike"
        ) from error


def _compared_with_model(
    config: RatingsConfig,
    raw: RawRatings,
    votes: Votes,
    predictions: Mapping[str, float],
    rng: np.random.Generator,
    progress: bool,
) -> tuple[Groups, AsGoodAs]:
    """Compare groups of raters with predictions of images that have scores."""
    chosen = np.array([name in predictions for name in raw.images])
    values = np.array([predictions[raw.images[k]] for k in np.flatnonzero(chosen)])
    if len(values) >= FEWEST_IMAGES and np.ptp(values) == 0:
        raise InputError(f"{config.predictions}: all predictions are {values[0]:g}")
    try:
        groups, model = compare_groups(
            votes.of(chosen),
            rng,
            predicted=values,
            repetitions=config.repetitions,
            progress=progress,
        )
    except ValueError as error:
        raise InputError(
            f"{config.predictions}: cannot be compared with {raw.table}: {error}; both name"
            " images alike"
        ) from error
    assert model is not None  # predictions were given
    return groups, model


def _write(config: RatingsConfig, study: Study, names: Sequence[str]) -> None:
    out, raw, screening = config.out, study.raw, study.screening
    (out / RELIABILITY_FILE).unlink(missing_ok=True)
    optional: dict[str, list[dict[str, Any]]] = {
        TEST_SCORES_FILE: table_rows_of(names, study.scores, study.tests_written),
        LEFT_OUT_FILE: [
            {IMAGE: raw.images[k], "votes": int(study.scores.votes[k])}
            for k in np.flatnonzero(~(study.written | study.tests_written))
        ],
        RATERS_FILE: [rater_row(study, k) for k in np.flatnonzero(screening.kept)],
        REMOVED_FILE: [
            rater_row(study, k)
            | {"reason": screening.reasons[k], "explanation": screening.explanation(int(k))}
            for k in np.flatnonzero(~screening.kept)
        ],
        AGREEMENT_FILE: [
            {"images": which, **row}
            for which, groups in (
                ("all", study.groups),
                ("predicted", study.model[0] if study.model else None),
            )
            if groups is not None
            for row in group_rows(groups)
        ],
    }
    for name, rows in optional.items():
        if rows:
            write_atomically(out / name, table_text(rows))
        else:  # one of an earlier run would be taken for this one's
            (out / name).unlink(missing_ok=True)
    chosen = _of(study.scores, study.written)
    drawn, worth = study.model or (study.groups, None)
    from mtl.ratings.figure import draw_study  # Matplotlib, which reading ratings need not have

    draw_study(out / PICTURE, chosen, screening, drawn, worth)
    write_atomically(
        out / SCORES_FILE, table_text(table_rows_of(names, study.scores, study.written))
    )
    text = json_text(jsonable(reliability(config, study)))
    write_atomically(out / RELIABILITY_FILE, text + "\n")


def _of(scores: Scores, chosen: np.ndarray) -> Scores:
    return Scores(scores.counts[chosen], scores.mos[chosen], scores.sd[chosen], scores.std[chosen])
