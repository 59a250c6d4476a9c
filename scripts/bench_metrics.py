"""Milliseconds per pair of every metric, one thread, and of piq's where piq is installed.

Five distorted versions of one reference, 512x384 and 8 bits, so that a metric computes the
reference's half once; piq's functions get the same five pairs. All take turns over the rounds; the
median counts. Then how long the first call of `score_all` takes, with nothing compiled and with
all programs in the persistent cache. On a GPU: pairs per second at several batch sizes.
Needs an otherwise idle machine.

Example:
    python -m scripts.bench_metrics --out results/metrics_speed.csv
"""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from jaxtyping import UInt8
from skimage import data

from distortions import distort
from distortions.table import LEVELS
from fr_metrics import METRICS, score_all
from mtl.files import table_text, write_atomically
from mtl.progress import progress_bar, say
from scripts.command_line import parse, run_script
from scripts.provenance import provenance

SIZE = (512, 384)  # width, height: the size of KADID-10k
ALL = "all, score_all"
FIRST_CALL = "first call of score_all"
FIRST_CALL_CACHED = "first call of score_all, programs in the cache"

# piq's function of each metric it has; the others are not in piq.
PIQ = {
    "ssim": "ssim",
    "ms_ssim": "multi_scale_ssim",
    "iw_ssim": "information_weighted_ssim",
    "mdsi": "mdsi",
    "vsi": "vsi",
    "fsimc": "fsim",
    "gmsd": "gmsd",
    "sr_sim": "srsim",
}


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    out: Path = Path("results/metrics_speed.csv")
    """CSV file to write."""
    rounds: int = 15
    """Times each metric is run, after one that is not counted."""
    batches: tuple[int, ...] = (32, 128)
    """Pairs per call on a GPU."""


def pictures(versions: int) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "n h w 3"]]:
    """A reference, scikit-image's coffee cup, and distorted versions of it."""
    reference = cv2.resize(data.coffee(), SIZE, interpolation=cv2.INTER_AREA)
    distorted = [distort(reference, "jpeg", LEVELS[k % len(LEVELS)]) for k in range(versions)]
    return reference, np.stack(distorted)


def score_calls(
    reference: np.ndarray, distorted: np.ndarray, metrics: Sequence[str]
) -> dict[str, Callable[[], Any]]:
    """A call per metric, and one for all of them."""

    def call(names: Sequence[str]) -> Callable[[], Any]:
        return lambda: jax.block_until_ready(score_all(reference, distorted, names))

    return {name: call((name,)) for name in metrics} | {ALL: call(tuple(metrics))}


def piq_calls(
    reference: np.ndarray, distorted: np.ndarray, metrics: Sequence[str]
) -> dict[str, Callable[[], Any]]:
    """A call per metric that piq has; none where piq is not installed."""
    if importlib.util.find_spec("piq") is None:
        return {}
    import piq  # type: ignore[import-not-found]
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(1)
    y = torch.from_numpy(distorted).permute(0, 3, 1, 2).contiguous() / 255
    x = torch.from_numpy(reference).permute(2, 0, 1)[None].repeat(len(distorted), 1, 1, 1) / 255

    def call(function: Callable[..., Any]) -> Callable[[], Any]:
        def run() -> Any:
            with torch.no_grad():
                return function(x, y, data_range=1.0)

        return run

    return {name: call(getattr(piq, PIQ[name])) for name in metrics if name in PIQ}


def timed(
    calls: Mapping[str, Callable[[], Any]], rounds: int, *, progress: bool = False
) -> dict[str, list[float]]:
    """Seconds of every call in every round; the calls take turns, a first turn is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with progress_bar((rounds + 1) * len(calls), "timing", "call", show=progress) as bar:
        for turn in range(rounds + 1):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                if turn:
                    seconds[name].append(time.perf_counter() - start)
                bar.update()
    return seconds


def measure(
    metrics: Sequence[str], versions: int, rounds: int, *, progress: bool = False
) -> list[dict[str, Any]]:
    """A row per metric and one for all: metric, ms (per pair), spread_ms, piq_ms.

    The spread is the interquartile range over the rounds; piq_ms is empty where piq has no such
    metric or is not installed.
    """
    reference, distorted = pictures(versions)
    ours = timed(score_calls(reference, distorted, metrics), rounds, progress=progress)
    theirs = timed(piq_calls(reference, distorted, metrics), max(1, rounds // 3), progress=progress)
    per_pair = 1e3 / versions
    rows = []
    for name, seconds in ours.items():
        low, middle, high = np.percentile(seconds, (25, 50, 75)) * per_pair
        rows.append(
            {
                "metric": name,
                "ms": round(float(middle), 2),
                "spread_ms": round(float(high - low), 2),
                "piq_ms": round(float(np.median(theirs[name])) * per_pair, 1)
                if name in theirs
                else "",
            }
        )
    return rows


FIRST_CALL_PROGRAM = """
import sys, time
import jax
from scripts.bench_metrics import pictures
from fr_metrics import score_all
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
images = pictures(5)
jax.numpy.zeros(1).block_until_ready()
start = time.perf_counter()
jax.block_until_ready(score_all(*images, sys.argv[2:]))
print(time.perf_counter() - start)
"""


def first_calls(metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Two rows: seconds of the first call without and with all programs in the cache."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for name in (FIRST_CALL, FIRST_CALL_CACHED):
            done = subprocess.run(
                [sys.executable, "-c", FIRST_CALL_PROGRAM, cache, *metrics],
                capture_output=True,
                text=True,
                check=True,
            )
            rows.append({"metric": name, "seconds": round(float(done.stdout), 1)})
    return rows


def batch_rates(
    metrics: Sequence[str], batches: Sequence[int], rounds: int
) -> list[dict[str, Any]]:
    """A row per batch size: pairs scored per second with all metrics."""
    rows = []
    for size in batches:
        calls = {ALL: score_calls(*pictures(size), metrics)[ALL]}
        seconds = float(np.median(timed(calls, rounds)[ALL]))
        rows.append({"metric": f"{ALL}, batches of {size}", "pairs_per_s": round(size / seconds)})
    return rows


def main(arguments: Sequence[str]) -> None:
    """Run the benchmark."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_metrics",
        description=__doc__ or "",
    )
    metrics = tuple(METRICS)
    rows = first_calls(metrics)
    if hasattr(os, "sched_setaffinity"):
        # Before JAX starts its threads: what runs on one core runs one thread at a time.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = measure(metrics, len(LEVELS), config.rounds, progress=True) + rows
    packages = ["jax", "numpy"]
    if importlib.util.find_spec("piq") is not None:
        packages += ["piq", "torch"]
    source = provenance(packages)
    if jax.default_backend() != "cpu":
        rows += batch_rates(metrics, config.batches, config.rounds)
        source["hardware"] += f"; {jax.devices()[0].device_kind}"
    columns = dict.fromkeys(["metric", "ms", "spread_ms", "piq_ms", "seconds", "pairs_per_s"], "")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items() if value != ""))
    write_atomically(config.out, table_text([columns | row | source for row in rows]))
    say(f"{config.out}: written")


if __name__ == "__main__":
    run_script(main, "bench_metrics")
