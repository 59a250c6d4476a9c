"""Train and test regressors on rated pictures, over and over, never sharing a reference.

OUT/features/         of the rated pictures
OUT/repetitions.csv   one row per regressor and repetition
OUT/summary.csv       medians and quartiles
OUT/predictions.csv   test predictions of each regressor's median repetition
OUT/model/            network and regressor, what `deepfl predict` takes
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mlsp.extract import extract_to
from mlsp.protocol import MEASURES, judge, quartiles
from mlsp.regressor import (
    Kind,
    Regressor,
    Settings,
    SVRSettings,
    fit,
    save_regressor,
    settings_of,
)
from mlsp.sources import Files, rated_files
from mtl.files import InputError, table_text, write_atomically
from mtl.progress import progress_bar, say
from mtl.splits import FEWEST_GROUPS, Split, split_by_group
from mtl.weights import FOLDER, load_model

REGRESSOR_FILE, RATINGS_FILE = "regressor.npz", "ratings.json"
REPETITIONS_FILE, SUMMARY_FILE = "repetitions.csv", "summary.csv"
PREDICTIONS_FILE = "predictions.csv"


@dataclass(frozen=True)
class Task:
    """A regressor and how often it is trained and tested."""

    settings: Settings
    repetitions: int

    @property
    def kind(self) -> Kind:
        """Name of the regressor."""
        return self.settings.kind


@dataclass(frozen=True)
class Benchmark:
    """What came of it."""

    repetitions: list[dict[str, float | str | int]]
    """regressor, repetition, chosen, the measures, test (number of pictures)."""
    summary: list[dict[str, float | str | int]]
    """regressor, repetitions, then median, first and third quartile of each measure."""
    median_tests: Mapping[Kind, tuple[Split, Float[np.ndarray, " n"]]]
    """For each regressor its repetition with the median SROCC: split and test predictions."""


def benchmark(
    features: Float[np.ndarray, "n f"],
    scores: Float[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    tasks: Sequence[Task] = (Task(SVRSettings(), 100),),
    seed: int = 0,
    progress: bool = False,
) -> Benchmark:
    """Split by group, train, choose by validation, test; repeat.

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
    _check(features, scores, groups)
    rows: list[dict[str, float | str | int]] = []
    summary: list[dict[str, float | str | int]] = []
    median_tests: dict[Kind, tuple[Split, np.ndarray]] = {}
    with progress_bar(
        sum(task.repetitions for task in tasks), "benchmark", "split", show=progress
    ) as bar:
        for task in tasks:
            tests = []
            for repetition in range(task.repetitions):
                split = split_by_group(groups, seed=seed, repetition=repetition)
                fitted = _fit(task.settings, features, scores, split, seed + repetition)
                predicted = fitted.predict(np.asarray(features[split.test], np.float32))
                measures = judge(predicted, scores[split.test])
                tests.append((measures, split, predicted))
                rows.append(
                    {
                        "regressor": task.kind,
                        "repetition": repetition,
                        "chosen": fitted.chosen,
                        **measures,
                        "test": len(split.test),
                    }
                )
                bar.set_postfix_str(f"{task.kind} SROCC {measures['srocc']:.3f}", refresh=False)
                bar.update()
            summary.append(_summary(task, [measures for measures, _, _ in tests]))
            # NaN (a test part with one score only) sorts last and is never the median of many.
            ranked = sorted(tests, key=lambda t: np.nan_to_num(t[0]["srocc"], nan=np.inf))
            _, split, predicted = ranked[(len(ranked) - 1) // 2]
            median_tests[task.kind] = (split, predicted)
    return Benchmark(rows, summary, median_tests)


def fit_for_use(
    settings: Settings,
    features: Float[np.ndarray, "n f"],
    scores: Float[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    seed: int,
) -> Regressor:
    """A regressor for `predict`: no test part, so 80 % of the references train it."""
    split = split_by_group(groups, seed=seed, repetition=0)
    train = np.concatenate([split.train, split.test])
    return _fit(settings, features, scores, Split(train, split.validation, split.test), seed)


@dataclass(frozen=True)
class BenchmarkConfig:
    """A benchmark on a user's own rated pictures."""

    ratings: Path
    """CSV file with columns image,score[,reference]; images are relative to its folder."""
    model: Path
    """Model folder, or the training run that holds it."""
    out: Path
    """Folder for results; an unfinished one is continued."""
    regressor: Kind = "svr"
    """svr, svr-linear: support vectors, seconds. mlp, mlp-bn (with batch normalisation): the
    paper's network, minutes per split on a CPU."""
    repetitions: int = 100
    """Random splits to train and test on; the paper's 100."""
    seed: int = 0
    """Decides splits and initial weights."""


def run_benchmark(config: BenchmarkConfig, *, progress: bool = False) -> Benchmark:
    """Features of the rated pictures, the benchmark, and a model folder to predict with.

    Raises:
        InputError: the ratings, the pictures or the model cannot be used.
    """
    if config.repetitions < 1:
        raise InputError("--repetitions must be at least 1")
    source = rated_files(config.ratings)
    ratings = _ratings(config.ratings, source)
    _check_references(config.ratings, [ratings[name][1] for name in source.names])
    model = load_model(config.model)
    found = extract_to(model, source, config.out / "features", progress=progress)
    for name, reason in found.skipped.items():
        say(f"left out: {name}: {reason}", show=progress)
    scores = np.array([ratings[name][0] for name in found.names])
    groups = [ratings[name][1] for name in found.names]
    settings = settings_of(config.regressor)
    matrix = np.asarray(found.matrix, np.float32)
    result = benchmark(
        matrix,
        scores,
        groups,
        tasks=[Task(settings, config.repetitions)],
        seed=config.seed,
        progress=progress,
    )
    write_results(config.out, result, found.names, scores)
    say("fitting the regressor for use on all references ...", show=progress)
    regressor = fit_for_use(settings, matrix, scores, groups, seed=config.seed)
    save_quality_model(config.out / FOLDER, model.folder, regressor, scores, config.ratings.name)
    return result


def write_results(
    out: Path, result: Benchmark, names: Sequence[str], scores: Float[np.ndarray, " n"]
) -> None:
    """Write the three tables of a benchmark."""
    predictions = [
        {"regressor": kind, "image": names[i], "score": scores[i], "predicted": float(p)}
        for kind, (split, predicted) in result.median_tests.items()
        for i, p in zip(split.test, predicted, strict=True)
    ]
    write_atomically(out / REPETITIONS_FILE, table_text(result.repetitions))
    write_atomically(out / PREDICTIONS_FILE, table_text(predictions))
    write_atomically(out / SUMMARY_FILE, table_text(result.summary))


def save_quality_model(
    folder: Path,
    network: Path,
    regressor: Regressor,
    scores: Float[np.ndarray, " n"],
    ratings: str,
) -> None:
    """A model folder with a regressor in it: a copy of the network's, self-contained.

    Args:
        folder: to write.
        network: the model folder the features came from.
        regressor: fitted to `scores`.
        scores: the human scores, for their range.
        ratings: where the scores came from, in words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_regressor(folder / REGRESSOR_FILE, regressor)
    known = {"ratings": ratings, "lowest": float(scores.min()), "highest": float(scores.max())}
    write_atomically(folder / RATINGS_FILE, json.dumps(known, indent=1))
    names = sorted(p.name for p in network.iterdir() if p.is_file() and p.name[0] != ".")
    # model.json, which makes a folder a model, comes last.
    for name in sorted(names, key=lambda n: n == "model.json"):
        if name not in (REGRESSOR_FILE, RATINGS_FILE):
            temporary = folder / f".{name}.{os.getpid()}.tmp"
            shutil.copyfile(network / name, temporary)
            temporary.replace(folder / name)


def _fit(settings, features, scores, split: Split, seed: int) -> Regressor:
    def part(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(features[rows], np.float32), scores[rows]

    return fit(settings, part(split.train), part(split.validation), seed=seed)


def _check(features: np.ndarray, scores: np.ndarray, groups: Sequence[str]) -> None:
    if not len(features) == len(scores) == len(groups):
        raise ValueError(
            f"{len(features)} features, {len(scores)} scores and {len(groups)} groups differ"
        )
    if not np.isfinite(scores).all():
        raise InputError("some scores are not finite numbers")
    if scores.min() == scores.max():
        raise InputError(f"all scores are {scores[0]:g}; there is nothing to learn")
    if len(set(groups)) < FEWEST_GROUPS:
        raise InputError(
            f"the usable pictures come from {len(set(groups))} reference(s); at least"
            f" {FEWEST_GROUPS} are needed, one each to train, validate and test"
        )


def _check_references(table: Path, groups: Sequence[str]) -> None:
    if len(set(groups)) < FEWEST_GROUPS:
        raise InputError(
            f"{table}: rates pictures of {len(set(groups))} reference(s); at least {FEWEST_GROUPS}"
            " are needed, one each to train, validate and test"
        )


def _ratings(table: Path, source: Files) -> dict[str, tuple[float, str]]:
    """Score and group by image name; without a reference column each picture is its own group."""
    ratings = {}
    for line, (name, columns) in enumerate(zip(source.names, source.columns, strict=True), 2):
        try:
            score = float(columns["score"])
        except (TypeError, ValueError):
            score = float("nan")
        if not np.isfinite(score):
            raise InputError(f"{table}: line {line}: score {columns['score']!r} is not a number")
        ratings[name] = (score, columns.get("reference") or name)
    return ratings


def _summary(task: Task, measured: Sequence[Mapping[str, float]]) -> dict[str, float | str | int]:
    row: dict[str, float | str | int] = {"regressor": task.kind, "repetitions": len(measured)}
    for measure in MEASURES:
        row |= {
            f"{measure}_{name}": value
            for name, value in quartiles([m[measure] for m in measured]).items()
        }
    return row
