"""Seconds and gap of choosing photographs by simulated indicators.

Seven indicators are log-normal and correlated, as those of photographs are skewed and go together,
and trimmed as photographs are (--photographs are what is left); the content is a cluster, large
ones and small. A tenth is chosen, and some to spare that leave as near-duplicates. One row per
number of photographs; the bound is below the value of every choice. Needs an otherwise idle
machine.

Example:
    python -m scripts.bench_choosing --out results/choosing_speed.csv
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepfl.command_line import parse, run_script
from mlsp.choosing.choose import trimming
from mlsp.choosing.indicators import INDICATORS
from mlsp.choosing.near_duplicates import unit_scaled, without_nearest
from mlsp.choosing.selection import equal_bins, select
from mlsp.choosing.settings import BINS, SPARE
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say, stage
from mtl.runtime.tables.csv_tables import table_text
from scripts.provenance import provenance

SHARE = 10  # one of so many photographs is chosen


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    out: Path = Path("results/choosing_speed.csv")
    """CSV file to write."""
    photographs: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Numbers of photographs to choose a tenth of."""
    bins: int = BINS
    """Of each indicator, and clusters."""
    seed: int = 0
    """Of the indicators."""


def simulated(number: int, bins: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indicators (number, 7) without extremes, and clusters."""
    rng = np.random.default_rng(seed)
    count = len(INDICATORS)
    mixing = np.eye(count) + 0.4 * rng.normal(size=(count, count))
    found = np.zeros((0, count))
    while len(found) < number:
        normal = rng.normal(size=(2 * number, count)) @ mixing.T
        values = np.exp(normal / normal.std(axis=0) * np.linspace(0.2, 0.8, count))
        found = values[[not reason for reason in trimming(values)]]
    clusters = rng.choice(bins, number, p=rng.dirichlet(np.ones(bins)))
    return found[:number], clusters


def main(arguments: Sequence[str]) -> None:
    """Run the script."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_choosing",
        description=__doc__ or "",
    )
    if not config.photographs or min(config.photographs) < 2 * SHARE or config.bins < 2:
        raise InputError(f"--photographs must be at least {2 * SHARE}, --bins at least 2")
    rows = []
    for number in config.photographs:
        values, clusters = simulated(number, config.bins, config.seed)
        wanted = number // SHARE
        selected = wanted + round(SPARE * wanted)
        began = time.perf_counter()
        binned = np.column_stack([*(equal_bins(c, config.bins) for c in values.T), clusters])
        with stage(f"choose {selected} of {number}"):
            selection = select(binned, selected)
        chosen = time.perf_counter()
        with stage(f"leave out {selected - wanted} near-duplicates"):
            rows_chosen = np.flatnonzero(selection.chosen)
            stay = without_nearest(unit_scaled(values[rows_chosen]), clusters[rows_chosen], wanted)
        rows.append(
            {
                "photographs": number,
                "indicators": binned.shape[1],
                "bins": config.bins,
                "chosen": selected,
                "seconds": round(chosen - began, 1),
                "value": round(selection.value, 2),
                "bound": round(selection.bound, 2),
                "gap": round(selection.gap, 5),
                "near_duplicates_left_out": int((~stay).sum()),
                "near_duplicates_seconds": round(time.perf_counter() - chosen, 1),
            }
        )
        say(", ".join(f"{name} {value}" for name, value in rows[-1].items()))
    origin = provenance(("numpy", "scipy"))
    write_atomically(config.out, table_text([{**row, **origin} for row in rows]))


if __name__ == "__main__":
    run_script(main, "bench_choosing")
