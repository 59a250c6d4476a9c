"""How well screening tells cheaters from honest raters, and what a study of full size takes.

The raters are simulated (mtl.ratings.simulation): every kind of cheater in turn, honest ones with
noise and a scale of their own. results/ratings_screening.csv has a row per number of ratings that
each rater gave (half as many votes per image) and per share of cheaters: which share of the
cheaters was found, and of the honest removed, among the raters of all studies.
results/ratings_speed.csv has seconds and memory of a study of KonIQ-10k's size, with a model's
predictions of 2,015 images.

Example:
    python -m scripts.bench_ratings --out results
"""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from deepfl.command_line import parse, run_script
from mtl.ratings import ScreeningSettings, run_ratings, screen
from mtl.ratings.raw import IMAGE
from mtl.ratings.simulation import SimulationSettings, raw_text, simulate
from mtl.ratings.study import PREDICTED, RatingsConfig
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import table_text
from scripts.provenance import provenance

# KonIQ-10k: workers who passed the quiz, images, and votes per image before the later steps; the
# pictures of its test set. doi:10.1109/TIP.2020.2967829, sections 4.2 and 6.2.4.
KONIQ = SimulationSettings(raters=1749, images=10073, votes=130.0, cheaters=0.15)
KONIQ_TEST = 2015
WORTH = 9  # votes that the simulated model's error is that of, but for rounding and scales

SCREENING_FILE, SPEED_FILE = "ratings_screening.csv", "ratings_speed.csv"
PACKAGES = ("numpy", "scipy")
MEBI = 2**20


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    out: Path = Path("results")
    """Folder of the two tables."""
    ratings: tuple[int, ...] = (20, 40, 80, 160, 320)
    """Of each rater, test questions apart."""
    shares: tuple[float, ...] = (0.1, 0.2, 0.4)
    """Of cheaters."""
    studies: int = 20
    """Of each kind, with 200 raters and 400 images."""
    speed: bool = True
    """Measure the study of full size."""


def screening_rates(config: BenchConfig, *, progress: bool = False) -> list[dict[str, Any]]:
    """A row per number of ratings and share of cheaters."""
    rows = []
    base = SimulationSettings()
    kinds = list(product(config.ratings, config.shares))
    with progress_bar(len(kinds) * config.studies, "screen", "study", show=progress) as bar:
        for ratings, share in kinds:
            made = replace(base, votes=ratings * base.raters / base.images, cheaters=share)
            caught, accused = [], []
            for seed in range(config.studies):
                study = simulate(made, np.random.default_rng(seed))
                kept = screen(study.raw, ScreeningSettings()).kept
                caught.append(~kept[study.cheating])
                accused.append(~kept[~study.cheating])
                bar.update()
            rows.append(
                {
                    "ratings_per_rater": ratings,
                    "test_questions": made.tests,
                    "share_of_cheaters": share,
                    "cheaters": sum(map(len, caught)),
                    "cheaters_found": round(float(np.mean(np.concatenate(caught))), 4),
                    "honest": sum(map(len, accused)),
                    "honest_removed": round(float(np.mean(np.concatenate(accused))), 4),
                }
            )
    return rows


def study_of_full_size(*, progress: bool = False) -> dict[str, Any]:
    """Seconds and memory of `run_ratings` with as many ratings as KonIQ-10k has."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        raw, predictions = Path(folder) / "raw.csv", Path(folder) / "predictions.csv"
        made = simulate(KONIQ, rng)
        raw.write_text(raw_text(made.raw))
        error = KONIQ.noise / np.sqrt(WORTH)
        rows = [
            {IMAGE: made.raw.images[k], PREDICTED[0]: made.quality[k] + error * rng.normal()}
            for k in rng.choice(KONIQ.images, KONIQ_TEST, replace=False)
        ]
        predictions.write_text(table_text(rows))
        ratings = len(made.raw.score)
        del made
        began, own = time.perf_counter(), time.process_time()
        config = RatingsConfig(raw=raw, out=Path(folder) / "out", predictions=predictions)
        study = run_ratings(config, progress=progress)
        seconds, own = time.perf_counter() - began, time.process_time() - own
    assert study.model is not None  # predictions were given
    worth = study.model[1].votes
    return {
        "ratings": ratings,
        "raters": KONIQ.raters,
        "images": KONIQ.images,
        "seconds": round(seconds, 1),
        "processor_seconds": round(own, 1),
        # Of the whole program, which made the ratings too.
        "peak_mebibytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEBI),
        "as_good_as_votes": round(worth.value, 1),
        "low": round(worth.low, 1),
        "high": round(worth.high, 1),
    }


def main(arguments: Sequence[str]) -> None:
    """Run the measurements."""
    config = parse(
        BenchConfig, arguments, program="python -m scripts.bench_ratings", description=__doc__ or ""
    )
    if config.studies < 1 or min(config.ratings) < 1:
        raise InputError("--studies and --ratings must be at least 1")
    if config.speed and sys.platform != "linux":
        raise InputError("the memory is measured on Linux only; use --no-speed elsewhere")
    source = provenance(PACKAGES)
    rows = [row | source for row in screening_rates(config, progress=True)]
    write_atomically(config.out / SCREENING_FILE, table_text(rows))
    say(f"{config.out / SCREENING_FILE}: {len(rows)} rows")
    if config.speed:
        row = study_of_full_size(progress=True) | source
        write_atomically(config.out / SPEED_FILE, table_text([row]))
        say(f"{config.out / SPEED_FILE}: {row['processor_seconds']} s")


if __name__ == "__main__":
    run_script(main, "bench_ratings")
