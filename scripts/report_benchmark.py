"""Publish a benchmark: its summary with where it comes from, and its scatter plots.

Example:
    python -m scripts.report_benchmark benchmark --out results/agiqa3k.csv
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse, run_script
from mlsp.evaluation.benchmark_results import SUMMARY_FILE
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import read_table, table_text
from scripts.provenance import provenance


@dataclass(frozen=True)
class ReportConfig:
    """Which benchmark, and where its table goes."""

    benchmark: Path
    """Folder of `deepfl benchmark`, `compare-schemes` or `compare-tasks`, of one database."""
    out: Path
    """CSV file to write; the scatter plot of the same name beside it."""
    pictures: str = ""
    """What was rated, in words."""
    models: str = ""
    """What the networks were trained on, in words."""


def main(arguments: Sequence[str]) -> None:
    """Write the table and the picture."""
    config = parse(
        ReportConfig,
        arguments,
        program="python -m scripts.report_benchmark",
        description=__doc__ or "",
        positional=("benchmark",),
    )
    rows = read_table(config.benchmark / SUMMARY_FILE, ("database", "method", "srocc_median"))
    plots = sorted(config.benchmark.glob("scatter-*.png"))
    if len(plots) != 1:
        raise InputError(
            f"{config.benchmark}: has {len(plots)} scatter plots; publish a benchmark of one"
            " database by one protocol"
        )
    origin = {
        "pictures": config.pictures,
        "models": config.models,
        **provenance(["jax", "flax", "numpy", "scikit-learn"]),
    }
    write_atomically(config.out, table_text([_rounded(row) | origin for row in rows]))
    shutil.copyfile(plots[0], config.out.with_suffix(".png"))
    say(f"{config.out} and {config.out.with_suffix('.png')}: {len(rows)} methods")


def _rounded(row: dict[str, str]) -> dict[str, str]:
    """Measures with as many digits as mean something."""

    def shown(name: str, value: str) -> str:
        measure = name.endswith(("_median", "_q1", "_q3"))
        return f"{float(value):.4f}" if measure and value else value

    return {name: shown(name, value) for name, value in row.items()}


if __name__ == "__main__":
    run_script(main, "report_benchmark")
