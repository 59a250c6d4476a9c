"""Publish the experiment: training with and without equalisation, and benchmarks of the results.

Writes a row per epoch of the two runs and per method of each benchmark, which its folder's name
says, and a picture beside the table.

Example, after the commands that the README lists:
    python -m scripts.report_experiment conditions regressors agiqa3k --equalized run --raw run-raw
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import pyplot

from deepfl.command_line import parse, run_script
from fr_metrics import METRICS
from mlsp.evaluation.benchmark_results import SUMMARY_FILE
from mlsp.figures.drawing import AFTER, BEFORE, DOTS_PER_INCH, save
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import read_table, table_text
from mtl.training.multitask.config import read_config
from mtl.training.run_folder import read_log
from scripts.provenance import provenance

TRAINING = "training"  # the experiment that compares the two runs
VARIANTS = {"with equalisation": AFTER, "without equalisation": BEFORE}

Row = dict[str, str | int | float]


@dataclass(frozen=True)
class ReportConfig:
    """What was run, and where the table goes."""

    benchmarks: tuple[Path, ...]
    """Folders of `deepfl benchmark`, each of one database."""
    equalized: Path
    """Run of `deepfl train`."""
    raw: Path
    """The same with --equalize off."""
    out: Path = Path("results/experiment.csv")
    """CSV file to write; the picture of the same name beside it."""


def training_rows(runs: Mapping[str, Path]) -> list[Row]:
    """A row per run and epoch: the mean SROCC of its metrics on the validation split.

    Raises:
        InputError: a run has no finished epoch, or they differ in more than equalisation.
    """
    configs = [read_config(run) for run in runs.values()]
    differ = [
        name
        for name in vars(configs[0])
        if name not in ("out", "equalize") and len({getattr(c, name) for c in configs}) > 1
    ]
    if differ or [config.equalize for config in configs] != ["on", "off"]:
        raise InputError(
            f"{' and '.join(map(str, runs.values()))}: must be runs of the same settings, with"
            f" --equalize on and off; they differ in {' '.join(differ) or 'nothing else'}"
        )
    rows: list[Row] = []
    for variant, run in runs.items():
        log = read_log(run)
        if not log:
            raise InputError(f"{run}: no epoch has ended yet; let `deepfl train` continue")
        rows += [
            {
                "experiment": TRAINING,
                "variant": variant,
                "epoch": int(epoch["epoch"]),
                "srocc_median": f"{epoch['mean_srocc']:.4f}",
                "plcc_median": f"{epoch['mean_plcc']:.4f}",
            }
            for epoch in log
        ]
    return rows


def benchmark_rows(folder: Path) -> list[Row]:
    """A row per method: median and quartiles of the SROCC, median of the PLCC.

    Raises:
        InputError: the folder holds no benchmark, or one of several databases.
    """
    found = read_table(folder / SUMMARY_FILE, ("database", "method", "srocc_median", "srocc_q1"))
    if len({row["database"] for row in found}) > 1:
        raise InputError(f"{folder}: is of several databases; publish one at a time")
    measures = ("srocc_median", "srocc_q1", "srocc_q3", "plcc_median", "plcc_logistic_median")
    return [
        {
            "experiment": folder.resolve().name,
            "variant": row["method"],
            "repetitions": row["repetitions"],
            **{name: f"{float(row[name]):.4f}" for name in measures},
        }
        for row in found
    ]


def draw(out: Path, training: Sequence[Row], benchmarks: Sequence[Sequence[Row]]) -> None:
    """Mean SROCC by epoch, as the paper's figure 8, and the medians with their quartiles."""
    figure, panels = pyplot.subplots(
        1, 1 + len(benchmarks), figsize=(4.2 * (1 + len(benchmarks)), 4.6), dpi=DOTS_PER_INCH
    )
    for variant, colour in VARIANTS.items():
        rows = [row for row in training if row["variant"] == variant]
        epochs = [int(row["epoch"]) for row in rows]
        values = [float(row["srocc_median"]) for row in rows]
        panels[0].plot(epochs, values, "o-", color=colour, label=variant)
    panels[0].set(xlabel="epoch", ylabel="mean SROCC of the metrics, validation")
    panels[0].legend(frameon=False)
    for axes, rows in zip(panels[1:], benchmarks, strict=True):
        titles = [
            f"{METRICS[name].title} (reference)" if name in METRICS else name
            for name in (str(row["variant"]) for row in rows)
        ]
        median, low, high = (
            [float(row[name]) for row in rows] for name in ("srocc_median", "srocc_q1", "srocc_q3")
        )
        errors = [
            [m - a for m, a in zip(median, low, strict=True)],
            [b - m for m, b in zip(median, high, strict=True)],
        ]
        axes.barh(titles, median, xerr=errors, color=AFTER, ecolor="#444444", height=0.7)
        axes.invert_yaxis()
        axes.tick_params(labelsize=7.5)
        axes.set(xlabel="SROCC, median and quartiles", title=str(rows[0]["experiment"]))
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    save(out, figure)


def main(arguments: Sequence[str]) -> None:
    """Write the table and the picture."""
    config = parse(
        ReportConfig,
        arguments,
        program="python -m scripts.report_experiment",
        description=__doc__ or "",
        positional=("benchmarks",),
    )
    training = training_rows(dict(zip(VARIANTS, (config.equalized, config.raw), strict=True)))
    benchmarks = [benchmark_rows(folder) for folder in config.benchmarks]
    rows = [*training, *(row for found in benchmarks for row in found)]
    columns = dict.fromkeys(name for row in rows for name in row)
    origin = provenance(["jax", "flax", "numpy", "scikit-learn"])
    table = [{name: row.get(name, "") for name in columns} | origin for row in rows]
    write_atomically(config.out, table_text(table))
    draw(config.out.with_suffix(".png"), training, benchmarks)
    say(f"{config.out} and {config.out.with_suffix('.png')}: {len(rows)} rows")


if __name__ == "__main__":
    run_script(main, "report_experiment")
