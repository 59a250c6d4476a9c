"""Milliseconds per pair of every metric, one thread, and of those of other installed libraries.

Five distorted versions of one reference, 512x384 and 8 bits, so that a metric computes the
reference's half once; the other libraries get the same five pairs. All take turns over the rounds;
the median of the processor time counts. Then how long the first call of `score_all` takes, with
nothing compiled and with all programs in the persistent cache. On a GPU: pairs per second at
several batch sizes. Needs an otherwise idle machine.

Example:
    python -m scripts.bench_metrics --out results/metrics_speed.csv
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import UInt8

from deepfl.command_line import parse, run_script
from distortions import distort
from distortions.table import LEVELS
from fr_metrics import METRICS, score_all
from mtl.runtime.files import write_atomically
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import table_text
from scripts.bench_distortions import SIZE, photograph
from scripts.other_libraries import LIBRARIES, Library, installed_libraries, packages
from scripts.provenance import provenance

ALL = "all, score_all"
FIRST_CALL = "first call of score_all"
FIRST_CALL_CACHED = "first call of score_all, programs in the cache"

Key = TypeVar("Key")


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
    """The sample photograph and distorted versions of it."""
    reference = photograph(SIZE)
    distorted = [distort(reference, "jpeg", LEVELS[k % len(LEVELS)]) for k in range(versions)]
    return reference, np.stack(distorted)


def score_calls(
    reference: np.ndarray, distorted: np.ndarray, metrics: Sequence[str]
) -> dict[str, Callable[[], Any]]:
    """A call per metric, and one for all of them."""

    def call(names: Sequence[str]) -> Callable[[], Any]:
        return lambda: jax.block_until_ready(score_all(reference, distorted, names))

    return {name: call((name,)) for name in metrics} | {ALL: call(tuple(metrics))}


def timed(
    calls: Mapping[Key, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    *,
    progress: bool = False,
) -> dict[Key, list[float]]:
    """Seconds of every call in every round; the calls take turns, a first turn is not counted."""
    seconds: dict[Key, list[float]] = {key: [] for key in calls}
    with progress_bar((rounds + 1) * len(calls), "timing", "call", show=progress) as bar:
        for turn in range(rounds + 1):
            for key, call in calls.items():
                start = clock()
                call()
                if turn:
                    seconds[key].append(clock() - start)
                bar.update()
    return seconds


def measure(
    metrics: Sequence[str],
    versions: int,
    rounds: int,
    libraries: Mapping[str, Library],
    *,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """A row per metric and one for all: metric, ms (per pair), spread_ms, a LIBRARY_ms for each.

    The spread is the interquartile range over the rounds; LIBRARY_ms is empty where that library
    has no such metric.
    """
    reference, distorted = pictures(versions)
    calls: dict[tuple[str, str], Callable[[], Any]] = {
        ("ms", name): call for name, call in score_calls(reference, distorted, metrics).items()
    }
    for library, each in libraries.items():
        for name, call in each.calls(reference, distorted).items():
            if name in metrics:
                calls[f"{library}_ms", name] = call
    # Processor time, which on one core is the time it takes when nothing else runs.
    seconds = timed(calls, rounds, time.process_time, progress=progress)
    milliseconds = {key: 1e3 / versions * np.array(each) for key, each in seconds.items()}
    rows = []
    for name in (*metrics, ALL):
        low, middle, high = np.percentile(milliseconds["ms", name], (25, 50, 75))
        row = {
            "metric": name,
            "ms": round(float(middle), 2),
            "spread_ms": round(float(high - low), 2),
        }
        for library in libraries:
            theirs = milliseconds.get((f"{library}_ms", name))
            row[f"{library}_ms"] = "" if theirs is None else round(float(np.median(theirs)), 1)
        rows.append(row)
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
    libraries = installed_libraries()
    if "torch" in packages(libraries):
        import torch  # type: ignore[import-not-found]

        torch.set_num_threads(1)
    rows = measure(metrics, len(LEVELS), config.rounds, libraries, progress=True) + rows
    source = provenance(["jax", "numpy", *packages(libraries)])
    if jax.default_backend() != "cpu":
        rows += batch_rates(metrics, config.batches, config.rounds)
        source["hardware"] += f"; {jax.devices()[0].device_kind}"
    theirs = [f"{library}_ms" for library in LIBRARIES]
    columns = dict.fromkeys(["metric", "ms", "spread_ms", *theirs, "seconds", "pairs_per_s"], "")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items() if value != ""))
    write_atomically(config.out, table_text([columns | row | source for row in rows]))
    say(f"{config.out}: written")


if __name__ == "__main__":
    run_script(main, "bench_metrics")
