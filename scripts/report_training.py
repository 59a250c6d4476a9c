"""Publish training runs: their logs with where they come from, and the first's learning curves.

Example:
    python -m scripts.report_training run --out results/training_run.csv
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse, run_script
from mtl.kadis.manifest import read_manifest
from mtl.network.networks import DEFAULT
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import table_text
from mtl.training.learning_curves import learning_curve
from mtl.training.multitask.config import FREE, TrainConfig, read_config
from mtl.training.run_folder import read_log
from mtl.training.settings import as_json
from scripts.provenance import provenance

# Settings that say where a run is and how it was launched, not what is computed.
PLACES = tuple(name for name in FREE if name != "epochs")


@dataclass(frozen=True)
class ReportConfig:
    """Which runs, and where their table goes."""

    runs: tuple[Path, ...]
    """Folders of `deepfl train`; their data sets have to be where they were."""
    out: Path = Path("results/training_run.csv")
    """CSV file to write; the picture of the same name beside it."""


def training_rows(run: Path) -> list[dict[str, float | str]]:
    """The log's rows, each with the data set, the settings that are not the paper's and its origin.

    Raises:
        InputError: the run has no finished epoch, or its data set is gone.
    """
    log = read_log(run)
    if not log:
        raise InputError(f"{run}: no epoch has ended yet; let `deepfl train` continue")
    config = as_json(read_config(run))
    folder = Path(config["data"])
    plan = read_manifest(folder)["plan"]
    height, width = plan["size"]
    data = (
        f"{len(plan['photographs'])} photographs at {width}x{height}, each with"
        f" {plan['types_per_reference']} type(s) at five levels"
    )
    papers = as_json(TrainConfig(folder, run, network=DEFAULT))
    settings = "; ".join(
        f"{name} {json.dumps(value)}"
        for name, value in config.items()
        if name not in PLACES and value != papers[name]
    )
    origin = provenance(["jax", "flax", "optax", "grain"])
    return [{**row, "data": data, "settings": settings, **origin} for row in log]


def main(arguments: Sequence[str]) -> None:
    """Write the table and the picture."""
    config = parse(
        ReportConfig,
        arguments,
        program="python -m scripts.report_training",
        description=__doc__ or "",
        positional=("runs",),
    )
    if not config.runs:
        raise InputError("no run is named; give a folder of `deepfl train`")
    rows = [row for run in config.runs for row in training_rows(run)]
    write_atomically(config.out, table_text(rows))
    learning_curve(config.out.with_suffix(".png"), read_log(config.runs[0]))
    say(f"{config.out} and {config.out.with_suffix('.png')}: {len(rows)} epochs")


if __name__ == "__main__":
    run_script(main, "report_training")
