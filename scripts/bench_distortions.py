"""Milliseconds per 512x384 picture of every distortion, on one thread.

Each of the five levels is timed several times, all types taking turns; the median over the rounds
is a level's time, the mean over the levels a type's. Needs an otherwise idle machine.

Example:
    python -m scripts.bench_distortions --out results/distortions_speed.csv
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from skimage import data
from threadpoolctl import threadpool_limits

from deepfl.command_line import parse, run_script
from distortions import DISTORTIONS, distort
from distortions.table import LEVELS
from mtl.runtime.files import write_atomically
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import table_text
from scripts.provenance import provenance

SIZE = (512, 384)  # width, height: the size of KADID-10k
DENOISE = 15
# What the project wants of the types other than denoise, milliseconds.
TARGET_MEAN, TARGET_EACH = 25.0, 120.0


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    out: Path = Path("results/distortions_speed.csv")
    """CSV file to write."""
    rounds: int = 7
    """Times each type and level is run, after one that is not counted."""


def photograph(size: tuple[int, int] = SIZE) -> UInt8[np.ndarray, "h w 3"]:
    """The sample photograph that is timed: scikit-image's coffee cup, by default at KADID's size.

    Args:
        size: width and height in pixels.
    """
    return cv2.resize(data.coffee(), size, interpolation=cv2.INTER_AREA)


def measure(
    image: UInt8[np.ndarray, "h w 3"], rounds: int, *, progress: bool = False
) -> list[dict[str, Any]]:
    """A row per type: id, name, ms (mean over levels), slowest_level_ms, spread_ms.

    The spread is the interquartile range over the rounds of the slowest level.
    """
    seconds: dict[tuple[int, int], list[float]] = {
        (number, level): [] for number in DISTORTIONS for level in LEVELS
    }
    with (
        threadpool_limits(1),
        _one_opencv_thread(),
        progress_bar((rounds + 1) * len(seconds), "timing", "run", show=progress) as bar,
    ):
        for turn in range(rounds + 1):
            for (number, level), times in seconds.items():
                start = time.perf_counter()
                distort(image, number, level, seed=turn)
                times.append(time.perf_counter() - start)
                bar.update()
    return [_row(number, seconds) for number in DISTORTIONS]


class _one_opencv_thread:
    def __enter__(self) -> None:
        self.before = cv2.getNumThreads()
        cv2.setNumThreads(1)

    def __exit__(self, *_: object) -> None:
        cv2.setNumThreads(self.before)


def _row(number: int, seconds: Mapping[tuple[int, int], Sequence[float]]) -> dict[str, Any]:
    levels = [1e3 * np.array(seconds[number, level][1:]) for level in LEVELS]
    medians = [float(np.median(times)) for times in levels]
    slowest = int(np.argmax(medians))
    low, high = np.percentile(levels[slowest], (25, 75))
    return {
        "id": number,
        "name": DISTORTIONS[number].name,
        "ms": round(float(np.mean(medians)), 2),
        "slowest_level_ms": round(medians[slowest], 2),
        "spread_ms": round(float(high - low), 2),
    }


def main(arguments: Sequence[str]) -> None:
    """Run the benchmark."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_distortions",
        description=__doc__ or "",
    )
    rows = measure(photograph(), config.rounds, progress=True)
    for row in rows:
        print(f"{row['id']:02d} {row['name']:<24} {row['ms']:8.2f} ms")
    others = [row for row in rows if row["id"] != DENOISE]
    mean = float(np.mean([row["ms"] for row in others]))
    slowest = max(others, key=lambda row: row["slowest_level_ms"])
    print(
        f"mean of the {len(others)} types other than denoise {mean:.1f} ms (target"
        f" {TARGET_MEAN:g}), slowest {slowest['name']} {slowest['slowest_level_ms']:.1f} ms"
        f" (target {TARGET_EACH:g})"
    )
    source = provenance(["numpy", "opencv-python-headless", "pillow", "scipy"])
    write_atomically(config.out, table_text([row | source for row in rows]))
    say(f"{config.out}: written")


if __name__ == "__main__":
    run_script(main, "bench_distortions")
