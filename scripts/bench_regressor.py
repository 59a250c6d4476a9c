"""Seconds and memory of a benchmark's regressors at full size, on made-up features.

The features are KADID-10k's in size: 10,125 pictures of 81 references, in float16, as many numbers
each as --network has MLSP features: 16,928 of InceptionResNetV2. Regressor networks of several
repetitions and learning rates train together, then one after the other; per epoch and member, and
how far the predictions differ. Then one split of the support vectors. What 100 repetitions, 5
learning rates and 30 epochs take is computed from that and is called extrapolated. With --full, for
a GPU, it is run and measured.

A CPU uses --share of each part's pictures, and an epoch's seconds are divided by it. The matrix is
whole. Needs an otherwise idle machine.

Example:
    python -m scripts.bench_regressor --out results/regressor_speed.csv
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from deepfl.command_line import parse, run_script
from mlsp.regression import (
    Examples,
    Execution,
    MLPSettings,
    Outcome,
    Settings,
    SVRSettings,
    train_and_test,
)
from mlsp.regression.network_groups import member_bytes
from mtl.evaluation.splits import Split, split_by_group
from mtl.network.networks import DEFAULT, find_network
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say, stage
from mtl.runtime.tables.csv_tables import table_text
from scripts.peak_memory import peak_bytes
from scripts.provenance import provenance

# KADID-10k: 81 references, 25 distortions at 5 levels.
REFERENCES, VERSIONS = 81, 125

WHOLE = "100 repetitions × 5 learning rates × 30 epochs"

MEASURED, EXTRAPOLATED = "measured", "extrapolated"


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    out: Path = Path("results/regressor_speed.csv")
    """CSV file to write."""
    repetitions: int = 1
    """Repetitions that are trained together where --full is not given."""
    learning_rates: tuple[float, ...] = (1e-3, 1e-4)
    """Learning rates of each of them, likewise."""
    share: float = 0.1
    """Of each part's pictures, likewise."""
    epochs: int = 4
    """Likewise; the first is not counted."""
    references: int = REFERENCES
    """Of the made-up database, with 125 pictures each."""
    network: str = DEFAULT
    """Whose MLSP features the made-up ones are in length, such as resnet50; any wrong name lists
    all."""
    features: int | None = None
    """Numbers per picture, in the place of the network's."""
    full: bool = False
    """Run 100 repetitions of 5 learning rates and 30 epochs."""


def length_of(config: BenchConfig) -> int:
    """Return the numbers per picture.

    Raises:
        InputError: there is no such network, or the number is not positive.
    """
    if config.features is None:
        return find_network(config.network).length
    if config.features < 1:
        raise InputError("--features must be positive")
    return config.features


def made_up(config: BenchConfig) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features in float16, a score that some of them decide, and references."""
    rng = np.random.default_rng(0)
    pictures, length = config.references * VERSIONS, length_of(config)
    features = rng.random((pictures, length), np.float32).astype(np.float16)
    deciding = min(50, length)
    scores = features[:, :deciding].astype(np.float64).sum(axis=1) + 0.3 * rng.normal(size=pictures)
    return features, scores, [f"reference {k // VERSIONS}" for k in range(pictures)]


def shortened(split: Split, share: float) -> Split:
    """A share of each part's rows."""
    parts = (split.train, split.validation, split.test)
    return Split(*(rows[: max(2, round(share * len(rows)))] for rows in parts))


def timed(settings: Settings, made: Any, splits: Sequence[Split], *, progress: bool = False):
    """Seconds and outcomes."""
    began = time.perf_counter()
    outcomes = train_and_test(
        settings, Examples(made[0], made[1]), splits, execution=Execution(progress=progress)
    )
    return time.perf_counter() - began, outcomes


def epoch_seconds(
    settings: MLPSettings, made: Any, splits: Sequence[Split], *, memory: int | None = None
) -> tuple[float, list[Outcome]]:
    """Seconds of an epoch of all members: the median of each group's epochs but the first, summed.

    Training, validation and, where it was the best epoch so far, the test pictures are in it.
    """
    ends: list[float] = []
    execution = Execution(memory, after_epoch=lambda: ends.append(time.perf_counter()))
    outcomes = train_and_test(settings, Examples(made[0], made[1]), splits, execution=execution)
    by_group = np.array(ends).reshape(-1, settings.epochs)
    return float(np.median(np.diff(by_group, axis=1), axis=1).sum()), outcomes


def network_rows(config: BenchConfig, made: Any, *, progress: bool) -> list[dict[str, Any]]:
    """Members together and one after the other, on a share of the pictures."""
    if not 0 < config.share <= 1 or config.repetitions < 1 or config.epochs < 2:
        raise InputError(
            "--share must be above 0 and at most 1, --repetitions at least 1, --epochs at least 2"
        )
    paper = MLPSettings()
    settings = MLPSettings(config.learning_rates, config.epochs)
    splits = [
        shortened(split_by_group(made[2], seed=0, repetition=k), config.share)
        for k in range(config.repetitions)
    ]
    members = len(splits) * len(settings.learning_rates)
    with stage(f"{members} networks together", show=progress):
        together, ours = epoch_seconds(settings, made, splits)
    peak = peak_bytes()
    with stage(f"{members} networks one after the other", show=progress):
        alone, theirs = epoch_seconds(settings, made, splits, memory=1)
    deviation = float(np.std(made[1]))
    furthest = max(
        float(np.abs(a.predicted - b.predicted).max()) for a, b in zip(ours, theirs, strict=True)
    )
    whole = len(paper.learning_rates) * 100 * paper.epochs
    each = together / members / config.share
    estimate = member_bytes(paper, made[0].shape[1], keep=False) / 2**30
    about = f"{members} networks, {config.share:g} of the pictures"
    return [
        _row("members together", about, members, "networks", MEASURED),
        _row("an epoch of all members", about, round(together, 2), "s", MEASURED),
        _row("an epoch of all members, one after the other", about, round(alone, 2), "s", MEASURED),
        _row("one after the other / together", about, round(alone / together, 2), "", MEASURED),
        _row("largest difference of a prediction", about, f"{furthest / deviation:.1e}",
             "deviations of the scores", MEASURED),
        _row("peak memory of the process", about, round(peak / 2**30, 2), "GiB", MEASURED),
        _row("memory of a member, estimate", "", round(estimate, 3), "GiB", "computed"),
        _row("an epoch of a member", "all pictures", round(each, 1), "s", EXTRAPOLATED),
        _row(WHOLE, "this machine",
             round(each * whole / 3600, 1), "h", EXTRAPOLATED),
    ]  # fmt: skip


def full_rows(made: Any, *, progress: bool) -> list[dict[str, Any]]:
    """The whole benchmark of the paper's network."""
    splits = [split_by_group(made[2], seed=0, repetition=k) for k in range(100)]
    seconds, outcomes = timed(MLPSettings(), made, splits, progress=progress)
    assert len(outcomes) == len(splits)
    about = "with compilation and transfers"
    peak = round(peak_bytes() / 2**30, 2)
    return [
        _row(WHOLE, about, round(seconds), "s", MEASURED),
        _row("peak memory", about, peak, "GiB", MEASURED),
    ]  # fmt: skip


def support_vector_rows(made: Any, *, progress: bool) -> list[dict[str, Any]]:
    """One split of the support vectors, kernel and all values of C."""
    split = split_by_group(made[2], seed=0, repetition=0)
    settings = SVRSettings()
    with stage("support vectors, one split", show=progress):
        seconds, _ = timed(settings, made, [split])
    about = f"{len(split.train)} training pictures, {len(settings.costs)} values of C"
    return [
        _row("support vectors, one split", about, round(seconds, 1), "s", MEASURED),
        _row("support vectors, 100 splits", "this machine", round(seconds * 100 / 60), "min",
             EXTRAPOLATED),
    ]  # fmt: skip


def _row(what: str, about: str, value: Any, unit: str, how: str) -> dict[str, Any]:
    return {"what": what, "with": about, "value": value, "unit": unit, "how": how}


def main(arguments: Sequence[str]) -> None:
    """Measure and write the table."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_regressor",
        description=__doc__ or "",
    )
    made = made_up(config)
    rows = [
        _row("features", "made up, float16", "×".join(map(str, made[0].shape)), "", "computed"),
        _row("device", "", jax.devices()[0].device_kind, "", "computed"),
    ]
    if config.full:
        rows += full_rows(made, progress=True)
    else:
        rows += network_rows(config, made, progress=True)
    rows += support_vector_rows(made, progress=True)
    known = provenance(["jax", "numpy", "optax", "scikit-learn"])
    write_atomically(config.out, table_text([row | known for row in rows]))
    for row in rows:
        say(f"{row['what']}: {row['value']} {row['unit']} ({row['how']})")
    say(f"wrote {config.out}")


if __name__ == "__main__":
    run_script(main, "bench_regressor")
