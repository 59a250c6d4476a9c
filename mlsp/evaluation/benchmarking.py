"""Train and test regressors on rated pictures, over and over, never sharing a reference.

Every method of a benchmark is tested on the same test parts: regressors, each on features of its
own, and scores that need no training, such as the full-reference metrics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from mlsp.evaluation.benchmark_methods import CodebookMethod, Method
from mlsp.evaluation.measures import (
    CORRELATIONS,
    distortion_table,
    judge,
    medians,
    share_within,
    srocc_by_distortion,
)
from mlsp.regression import Examples, Regressor, Settings, SVRSettings, fit
from mtl.evaluation.splits import FEWEST_GROUPS, Split, split_by_group
from mtl.runtime.files import InputError
from mtl.runtime.progress import say

Row = dict[str, float | str | int]


@dataclass(frozen=True)
class Task:
    """Name a regressor and how often it is trained and tested."""

    settings: Settings
    repetitions: int


@dataclass(frozen=True)
class Rated:
    """Hold what is known of the pictures; every sequence has one entry per picture."""

    scores: Float[np.ndarray, " n"]
    """Human scores on any scale, higher is better."""
    distortions: Sequence[str] | None = None
    """Types, for the table of each type."""
    deviations: Float[np.ndarray, " n"] | None = None
    """Raters' standard deviations, on the scale of the scores."""
    others: Mapping[str, Float[np.ndarray, " m"]] = field(default_factory=dict)
    """Scores of other databases, by name."""


@dataclass(frozen=True)
class Benchmark:
    """Hold the tables of a benchmark."""

    repetitions: list[Row]
    """method, repetition, chosen, the measures, test (number of pictures)."""
    summary: list[Row]
    """method, repetitions, without_correlation, then median and quartiles of each measure."""
    distortions: list[Row]
    """method, distortion, repetitions, then median and quartiles of the SROCC."""
    cross: list[Row]
    """method, tested_on, pictures, repetitions, without_correlation, medians and quartiles of the
    correlations."""
    median_tests: Mapping[str, tuple[Split, Float[np.ndarray, " n"]]]
    """Of each method the repetition with the median SROCC: split and test predictions."""


def benchmark(
    features: Float[np.ndarray, "n f"],
    scores: Float[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    tasks: Sequence[Task] = (Task(SVRSettings(), 100),),
    seed: int = 0,
    progress: bool = False,
) -> Benchmark:
    """Split by group 60/20/20, train, choose by validation, test; repeat.

    Args:
        features: one row per picture.
        scores: human scores on any scale.
        groups: the reference of each picture; pictures of one group are never in two parts.
        tasks: regressors and repetitions; repetition k has the same split for all of them.
        seed: of splits and training.
        progress: report on standard error.

    Raises:
        InputError: too few references or pictures, scores that are not finite or all equal.
    """
    scores = np.asarray(scores, np.float64)
    if not len(features) == len(scores) == len(groups):
        raise ValueError(
            f"{len(features)} features, {len(scores)} scores and {len(groups)} groups differ"
        )
    found = []
    for task in tasks:
        splits = random_splits(groups, task.repetitions, seed=seed)
        method = Method(task.settings.kind, features, task.settings)
        found.append(compare_methods([method], Rated(scores), splits, seed=seed, progress=progress))
    return merged(found)


def random_splits(groups: Sequence[str], repetitions: int, *, seed: int) -> list[Split]:
    """Return a split of 60/20/20 by group for each repetition.

    Raises:
        InputError: there are fewer than three groups.
    """
    if len(set(groups)) < FEWEST_GROUPS:
        raise InputError(
            f"the usable pictures come from {len(set(groups))} reference(s); at least"
            f" {FEWEST_GROUPS} are needed, one each to train, validate and test"
        )
    return [split_by_group(groups, seed=seed, repetition=k) for k in range(repetitions)]


def compare_methods(
    methods: Sequence[Method | CodebookMethod],
    rated: Rated,
    splits: Sequence[Split],
    *,
    judges: Mapping[str, Float[np.ndarray, " n"]] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Benchmark:
    """Train and test regressors, and test scores that need no training, on the same splits.

    Args:
        methods: regressors, each with a name of its own.
        rated: the pictures.
        splits: row numbers of each repetition.
        judges: scores of all pictures, higher is better, by name.
        seed: of training; repetition k has seed + k.
        progress: report on standard error.

    Raises:
        InputError: scores that are not finite or all equal; features that are not finite.
    """
    _check(rated.scores)
    tables = []
    for method in methods:
        say(f"{method.name}: {len(splits)} split(s) ...", show=progress)
        outcomes = method.train_and_test(rated.scores, splits, seed=seed, progress=progress)
        table = judged_tests(
            method.name,
            rated,
            splits,
            [outcome.predicted for outcome in outcomes],
            chosen=[outcome.chosen for outcome in outcomes],
        )
        for place, name in enumerate(method.others):
            beyond = [outcome.others[place] for outcome in outcomes]
            table.cross.append(_cross_row(method.name, name, rated.others[name], beyond))
        tables.append(table)
    for name, values in (judges or {}).items():
        tests = [values[split.test] for split in splits]
        tables.append(judged_tests(name, rated, splits, tests, own_scale=True))
    return merged(tables)


def merged(tables: Sequence[Benchmark]) -> Benchmark:
    """Return several benchmarks as one, in order."""
    return Benchmark(
        [row for table in tables for row in table.repetitions],
        [row for table in tables for row in table.summary],
        [row for table in tables for row in table.distortions],
        [row for table in tables for row in table.cross],
        {name: test for table in tables for name, test in table.median_tests.items()},
    )


def split_for_use(groups: Sequence[str], *, seed: int) -> Split:
    """Return a split without a test part, for `predict`: 80 % of the references train.

    Raises:
        InputError: there are fewer than three references.
    """
    (split,) = random_splits(groups, 1, seed=seed)
    return Split(np.concatenate([split.train, split.test]), split.validation, np.arange(0))


def fit_for_use(
    method: Method, scores: Float[np.ndarray, " n"], groups: Sequence[str], *, seed: int
) -> Regressor:
    """Return a regressor for `predict`, fitted by `split_for_use`."""
    split = split_for_use(groups, seed=seed)
    return fit(
        method.settings,
        Examples(method.features[split.train], scores[split.train]),
        Examples(method.features[split.validation], scores[split.validation]),
        seed=seed,
        weighting=method.weighting,
    )


def judged_tests(
    name: str,
    rated: Rated,
    splits: Sequence[Split],
    predictions: Sequence[Float[np.ndarray, " t"]],
    *,
    chosen: Sequence[float] | None = None,
    own_scale: bool = False,
) -> Benchmark:
    """Return the tables of one method from its test predictions.

    Args:
        name: of the method.
        rated: the pictures.
        splits: row numbers of each repetition.
        predictions: of each repetition's test part.
        chosen: learning rate or C of each repetition, where one was chosen.
        own_scale: the predictions are not on the scores' scale, and only correlations mean
            anything.
    """
    measured: list[dict[str, float]] = []
    by_distortion = []
    for split, predicted in zip(splits, predictions, strict=True):
        true = rated.scores[split.test]
        measures = judge(predicted, true)
        if own_scale:
            measures = {m: v if m in CORRELATIONS else np.nan for m, v in measures.items()}
        elif rated.deviations is not None:
            measures |= share_within(predicted, true, rated.deviations[split.test])
        measured.append(measures)
        if rated.distortions is not None:
            types = [rated.distortions[row] for row in split.test]
            by_distortion.append(srocc_by_distortion(predicted, true, types))
    rows: list[Row] = [
        {
            "method": name,
            "repetition": number,
            "chosen": np.nan if chosen is None else chosen[number],
            **measures,
            "test": len(split.test),
        }
        for number, (split, measures) in enumerate(zip(splits, measured, strict=True))
    ]
    summary: Row = {"method": name, **medians(measured, measured[0])}
    # NaN sorts last; it is the median only where no repetition has a correlation.
    order = np.argsort([m["srocc"] for m in measured], kind="stable")
    median = order[max(0, int(summary["repetitions"]) - 1) // 2]
    return Benchmark(
        rows,
        [summary],
        [{"method": name, **row} for row in distortion_table(by_distortion)],
        [],
        {name: (splits[median], predictions[median])},
    )


def _cross_row(
    name: str,
    tested_on: str,
    true: Float[np.ndarray, " m"],
    predictions: Sequence[Float[np.ndarray, " m"]],
) -> Row:
    # The other database's scale is another, so that errors mean nothing.
    measured = [judge(predicted, true) for predicted in predictions]
    return {
        "method": name,
        "tested_on": tested_on,
        "pictures": len(true),
        **medians(measured, CORRELATIONS),
    }


def _check(scores: Float[np.ndarray, " n"]) -> None:
    if not np.isfinite(scores).all():
        raise InputError("some scores are not finite numbers")
    if scores.min() == scores.max():
        raise InputError(f"all scores are {scores[0]:g}; there is nothing to learn")
