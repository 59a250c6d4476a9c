"""The section on a training run: settings, curves, and how well each metric is predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fr_metrics import METRICS
from mlsp.report import figures
from mlsp.report.training_run import Run
from mlsp.report.web_page import Figure, Number, Section, Table, beside
from mtl.network.networks import DEFAULT, find_network

CURVES = "learning.png"


@dataclass(frozen=True)
class Training:
    """The task of the network, and the settings of the run."""

    template: ClassVar[str] = "report/templates/training.html.jinja"

    run: Run
    settings: Sequence[tuple[str, str]]
    """Names and values as text."""
    network: str
    """Its title."""


def training_section(out: Path, run: Run) -> Section:
    """Draw the curves and return the section on the run.

    Args:
        out: the report's folder.
        run: the run, whose log may be empty.
    """
    settings = [(name, _shown(value)) for name, value in run.settings.items()]
    network = find_network(str(run.settings.get("network", DEFAULT)))
    body = [Training(run, settings, network.title)]
    parts = []
    if run.log:
        parts = [
            Section("curves", "Training curves per metric", [_curves(out / CURVES, run)]),
            Section("metrics", "How well each metric is predicted", [_metrics(run)]),
            Section("epochs", "Epoch by epoch", [_epochs(run)]),
        ]
    return Section("training", "Training", body, parts)


def _curves(path: Path, run: Run) -> Figure:
    best = run.best["epoch"]
    figures.training_curves(path, run.log, best)
    return Figure(
        beside(path, "Training curves: losses and correlations by epoch"),
        "Loss, and correlation of the predicted with the full-reference scores on the validation"
        f" split. All correlations have one scale. The dotted line is epoch {best:.0f}, which was"
        " kept.",
    )


def _metrics(run: Run) -> Table:
    rows = [
        (METRICS[metric].title, *_numbers(run.best, f"srocc_{metric}", f"plcc_{metric}"))
        for metric in figures.logged_metrics(run.log)
    ]
    caption = f"Validation split, epoch {run.best['epoch']:.0f}."
    return Table(["metric", "SROCC", "PLCC"], rows, caption)


def _epochs(run: Run) -> Table:
    losses, means = ("train_loss", "validation_loss"), ("mean_srocc", "mean_plcc")
    rows = [
        (
            int(row["epoch"]),
            *_numbers(row, *losses, digits=4),
            *_numbers(row, *means),
            *_numbers(row, "images_per_second", digits=1),
        )
        for row in run.log
    ]
    return Table(
        ["epoch", "training loss", "validation loss", "mean SROCC", "mean PLCC",
         "images per second"],
        rows,
    )  # fmt: skip


def _numbers(row: Mapping[str, float], *columns: str, digits: int = 3) -> list[Number]:
    return [Number(row.get(column), digits) for column in columns]


def _shown(value: object) -> str:
    """Return a setting's value as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "all"
    return str(value)
