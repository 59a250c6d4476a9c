"""The report's part on a training run: settings, curves, and how well each metric is predicted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fr_metrics import METRICS
from mlsp.report import figures
from mlsp.report.report_data import beside
from mlsp.report.web_page import Number, Section, element, figure, missing, paragraph, table
from mtl.network.networks import DEFAULT, find_network

CURVES = "learning.png"

Log = Sequence[Mapping[str, float]]


def best_epoch(log: Log) -> Mapping[str, float]:
    """The row of the epoch that is kept: the smallest validation loss."""
    return min(log, key=lambda row: row["validation_loss"])


def training_section(out: Path, run: Path, settings: Mapping[str, object], log: Log) -> Section:
    """Draw the curves and write the tables.

    Args:
        out: the report's folder.
        run: folder of the run.
        settings: of the run, by name.
        log: its log.csv; may be empty.
    """
    listed = element(
        "details",
        element("summary", "All settings of the run"),
        table(["setting", "value"], [(name, _shown(value)) for name, value in settings.items()]),
    )
    if not log:
        none = missing(
            "No epoch has ended yet. ",
            element("code", f"deepfl train --data {settings['data']} --out {run}"),
            " continues the run.",
        )
        return Section("training", "Training", [none, listed])
    network = find_network(str(settings.get("network", DEFAULT)))
    best = best_epoch(log)
    figures.training_curves(out / CURVES, log, best["epoch"])
    metrics = [
        (
            METRICS[metric].title,
            *(_number(best, f"{measure}_{metric}") for measure in ("srocc", "plcc")),
        )
        for metric in figures.logged_metrics(log)
    ]
    epochs = [
        (
            int(row["epoch"]),
            *(_number(row, name, 4) for name in ("train_loss", "validation_loss")),
            *(_number(row, f"mean_{measure}") for measure in ("srocc", "plcc")),
            _number(row, "images_per_second", 1),
        )
        for row in log
    ]
    return Section(
        "training",
        "Training",
        [
            paragraph(
                f"{network.title} learns to predict all full-reference metrics at once, without"
                " the reference. After each epoch it is tested on the validation split, whose"
                " photographs it never trains on."
            ),
            listed,
        ],
        [
            Section(
                "curves",
                "Training curves per metric",
                [
                    figure(
                        beside(out / CURVES, "Training curves: losses and correlations by epoch"),
                        "Loss, and correlation of the predicted with the full-reference scores on"
                        " the validation split. All correlations have one scale. The dotted line is"
                        f" epoch {best['epoch']:.0f}, which was kept.",
                    )
                ],
            ),
            Section(
                "metrics",
                "How well each metric is predicted",
                [
                    table(
                        ["metric", "SROCC", "PLCC"],
                        metrics,
                        caption=f"Validation split, epoch {best['epoch']:.0f}.",
                    )
                ],
            ),
            Section(
                "epochs",
                "Epoch by epoch",
                [
                    table(
                        ["epoch", "training loss", "validation loss", "mean SROCC", "mean PLCC",
                         "images per second"],
                        epochs,
                    )
                ],
            ),
        ],
    )  # fmt: skip


def _number(row: Mapping[str, float], column: str, digits: int = 3) -> Number:
    return Number(row.get(column), digits)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "all"
    return {None: "–", True: "yes", False: "no"}.get(value, str(value))  # type: ignore[call-overload]
