"""Write the README's tables from the published measurements.

Example:
    python -m scripts.readme_table --readme README.md --results results
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse, run_script
from fr_metrics import METRICS
from mtl.network.networks import DEFAULT, NETWORKS
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import read_table
from scripts.bench_metrics import ALL
from scripts.other_libraries import LIBRARIES

# KADIS-700k: 140,000 photographs, one of 25 types at five levels (arXiv:2001.08113, section III-A).
KADIS_IMAGES, KADIS_TYPES = 700_000, 25


@dataclass(frozen=True)
class TableConfig:
    """What to write where."""

    readme: Path = Path("README.md")
    """File with the pairs of comments between which the tables stand."""
    results: Path = Path("results")
    """Folder of metrics_speed.csv, metrics_fidelity.csv, generate_speed.csv,
    distortions_speed.csv, networks.csv, experiment.csv and agiqa3k.csv."""


def metrics_table(results: Path) -> str:
    """The table in Markdown.

    Raises:
        InputError: a file of measurements is missing or lacks a metric.
    """
    speed = _by_metric(results / "metrics_speed.csv", (*METRICS, ALL))
    fidelity = _by_metric(results / "metrics_fidelity.csv", tuple(METRICS))
    names = [name.replace("_", "-") for name in LIBRARIES]
    titles = ["metric", "better", "range", "authors' numbers", "float64", "float32", *names]
    titles += ["ms", *(f"{name}, ms" for name in names)]
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for name, metric in METRICS.items():
        found, times = fidelity[name], speed[name]
        cells = [
            f"[`{name}`](https://doi.org/{metric.reference})",
            "higher" if metric.higher_is_better else "lower",
            metric.range,
            "equal" if metric.verified else "close" if found["float64"] else "not compared",
            *(_or_dash(found[key]) for key in ("float64", "float32", *LIBRARIES)),
            times["ms"],
            *(_or_dash(times[f"{library}_ms"]) for library in LIBRARIES),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    total = [f"all {len(METRICS)}", *[""] * (5 + len(LIBRARIES)), speed[ALL]["ms"]]
    for library in LIBRARIES:
        theirs = [float(each) for name in METRICS if (each := speed[name][f"{library}_ms"])]
        total.append(f"{len(theirs)} of them: {sum(theirs):.0f}" if theirs else "–")
    lines.append(f"| {' | '.join(total)} |")
    machine = speed[ALL]
    lines += ["", f"{machine['date']}, {machine['hardware']}, {machine['versions']}."]
    return "\n".join(lines)


def generation_table(results: Path) -> str:
    """What a data set of KADIS-700k's size costs, in Markdown.

    Raises:
        InputError: a file of measurements is missing or lacks a row.
    """
    path = results / "generate_speed.csv"
    speed = {row["what"]: row for row in read_table(path, ("what", "mb_per_image"))}
    types = read_table(results / "distortions_speed.csv", ("name", "ms"))
    try:
        denoise = next(float(row["ms"]) for row in types if row["name"] == "denoise") / 1000
        one, two = speed["one worker"], speed["two workers"]
        stores = {"pixels": one, "recipe": speed["one worker, store recipe"]}
    except (KeyError, StopIteration) as error:
        raise InputError(f"{path}: lacks a row; run scripts.bench_generate again") from error
    lines = ["| store | images/s and core | core-hours | GB |", "|---|---|---|---|"]
    for store, row in stores.items():
        rate = float(row["images_per_second_and_core"])
        # Every type as often as the others, and denoise, which the rate leaves out, on top.
        hours = KADIS_IMAGES * (1 / rate + denoise / KADIS_TYPES) / 3600
        size = KADIS_IMAGES * float(row["mb_per_image"]) / 1000
        lines.append(f"| {store} | {rate:.1f} | {hours:.0f} | {size:.0f} |")
    steps = ", ".join(
        f"{step} {float(one[f'{step}_percent']):.0f} %"
        for step in ("read", "distort", "score", "encode", "write")
    )
    lines += [
        "",
        f"A worker's time: {steps}; denoise adds {denoise:.2f} s to each image of its type. Two"
        f" workers were {float(two['speed_over_one_worker']):.2f} times as fast as one.",
        f"{one['date']}, {one['hardware']}, {one['versions']}.",
    ]
    return "\n".join(lines)


def benchmark_table(results: Path) -> str:
    """Medians of a benchmark on human scores, with the quartiles of the SROCC, in Markdown.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    rows = read_table(results / "agiqa3k.csv", ("method", "srocc_median", "mae_median"))
    lines = [
        "| method | SROCC (quartiles) | PLCC | fitted | KROCC | RMSE | MAE | within 1 σ |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            row["method"],
            f"{_short(row, 'srocc_median')} ({_short(row, 'srocc_q1')}–{_short(row, 'srocc_q3')})",
            *(_short(row, f"{m}_median") for m in ("plcc", "plcc_logistic", "krocc")),
            *(_short(row, f"{m}_median") for m in ("rmse", "mae", "within_1_sigma")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    one = rows[0]
    lines += [
        "",
        f"{one['pictures']}; {one['repetitions']} splits. {one['models']}."
        f" {one['date']}, {one['hardware']}, {one['versions']}.",
    ]
    return "\n".join(lines)


def networks_table(results: Path) -> str:
    """Sizes, memory and speed of every network, in Markdown.

    Raises:
        InputError: the file is missing or lacks a row.
    """
    path = results / "networks.csv"
    rows = read_table(path, ("network", "share", "pass", "ms"))
    found = {(row["network"], row["pass"]): row for row in rows if float(row["share"]) == 1}
    lines = [
        "| `--network` | paper | ImageNet weights | smallest side | canvas | MLSP | `gap` | million"
        " parameters | ms | MiB | training, ms | MiB |",
        "|" + "---|" * 12,
    ]
    for name, network in NETWORKS.items():
        try:
            forward, training = found[name, "forward"], found[name, "training"]
        except KeyError as error:
            raise InputError(f"{path}: lacks {name}; run scripts.bench_networks") from error
        kinds = {"Keras": network.keras, "pip": network.torch, "Caffe": network.caffe}
        cells = [
            f"`{name}`",
            network.reference,
            ", ".join(kind for kind, weights in kinds.items() if weights is not None) or "–",
            str(network.smallest_side),
            "shared" if network.shares_canvas else "by size",
            f"{network.length:,}",
            f"{network.features:,}",
            f"{int(forward['parameters']) / 1e6:.1f}",
            *(f"{float(row[of]):.0f}" for row in (forward, training) for of in ("ms", "mib")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    one, other = found[DEFAULT, "forward"], found[DEFAULT, "training"]
    lines += [
        "",
        f"One picture of {one['width']}×{one['height']} forward; a training step of"
        f" {other['batch']} images of {other['width']}×{other['height']}. MiB: what a pass takes"
        f" beside weights and program. {one['date']}, {one['hardware']}, {one['versions']}.",
    ]
    return "\n".join(lines)


# What DeepFL-IQA, arXiv:2001.08113, compares, what it found (section V-C, figure 8, tables II and
# III; section V-D1) and which rows of experiment.csv compare the same: experiment, variant, label.
COMPARISONS: Sequence[tuple[str, str, Sequence[tuple[str, str, str]]]] = (
    (
        "Scores equalised, or raw: mean SROCC of the metrics on unseen photographs, last epoch",
        'equalised "more stable and better" (figure 8)',
        (
            ("training", "with equalisation", "equalised"),
            ("training", "without equalisation", "raw"),
        ),
    ),
    (
        "The features of both",
        "–",
        (("conditions", "mtl svr", "equalised"), ("conditions", "raw svr", "raw")),
    ),
    (
        "All metrics at once, or one",
        "all 0.936, VSI 0.927, SSIM 0.923",
        (
            ("conditions", "mtl svr", "all"),
            ("conditions", "vsi svr", "VSI"),
            ("conditions", "ssim svr", "SSIM"),
        ),
    ),
    (
        "Weights of the body",
        "KADIS-700k's 0.936, ImageNet's 0.706",
        (("conditions", "mtl svr", "trained here"), ("conditions", "untrained svr", "random")),
    ),
    (
        "Regressor",
        "network 0.936, support vectors 0.930",
        (
            ("regressors", "mtl mlp", "network"),
            ("regressors", "mtl svr", "support vectors"),
            ("regressors", "mtl svr-linear", "linear"),
        ),
    ),
    (
        "Beside BRISQUE, and metrics that have the reference",
        "0.3 above conventional features; VSI 0.879",
        (
            ("conditions", "mtl svr", "features"),
            ("conditions", "brisque svr", "BRISQUE"),
            ("conditions", "vsi", "VSI"),
            ("conditions", "ssim", "SSIM"),
            ("conditions", "gmsd", "GMSD"),
        ),
    ),
    (
        "AGIQA-3K's human scores",
        "–",
        (
            ("agiqa3k", "mtl svr", "trained here"),
            ("agiqa3k", "untrained svr", "random"),
            ("agiqa3k", "brisque svr", "BRISQUE"),
        ),
    ),
)


def experiment_table(results: Path) -> str:
    """The paper's comparisons and ours, medians with quartiles of the SROCC, in Markdown.

    Raises:
        InputError: the file is missing or lacks a row.
    """
    path = results / "experiment.csv"
    rows = read_table(path, ("experiment", "variant", "epoch", "srocc_median"))
    # Of a run's epochs, the last.
    found = {(row["experiment"], row["variant"]): row for row in rows}
    lines = ["| what is compared | the paper's SROCC | SROCC here (quartiles) |", "|---|---|---|"]
    for title, papers, compared in COMPARISONS:
        cells = []
        for experiment, variant, label in compared:
            if (experiment, variant) not in found:
                raise InputError(f"{path}: has no row {experiment}, {variant}; measure it again")
            row = found[experiment, variant]
            spread = f" ({_short(row, 'srocc_q1')}–{_short(row, 'srocc_q3')})"
            cells.append(
                f"{label} {_short(row, 'srocc_median')}{spread if row['srocc_q1'] else ''}"
            )
        lines.append(f"| {title} | {papers} | {', '.join(cells)} |")
    one = rows[0]
    lines += ["", f"{one['date']}, {one['hardware']}, {one['versions']}."]
    return "\n".join(lines)


def _short(row: Mapping[str, str], name: str) -> str:
    value = row.get(name, "")
    return f"{float(value):.3f}" if value else "–"


TABLES: Mapping[str, Callable[[Path], str]] = {
    "metrics": metrics_table,
    "generation": generation_table,
    "networks": networks_table,
    "experiment": experiment_table,
    "benchmark": benchmark_table,
}


def _by_metric(path: Path, names: Sequence[str]) -> dict[str, Mapping[str, str]]:
    rows = {row["metric"]: row for row in read_table(path, ("metric",))}
    for name in names:
        if name not in rows:
            raise InputError(f"{path}: has no row of {name}; run the benchmark that writes it")
    return {name: rows[name] for name in names}


def _or_dash(text: str) -> str:
    return text or "–"


def with_table(readme: str, name: str, table: str) -> str:
    """The README with a table between its two comments.

    Raises:
        InputError: the comments are not there.
    """
    begin, end = f"<!-- {name}: from results/ -->", f"<!-- end of {name} -->"
    if begin not in readme or end not in readme:
        raise InputError(f"the README needs the lines {begin} and {end}")
    before, rest = readme.split(begin, 1)
    return f"{before}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"


def main(arguments: Sequence[str]) -> None:
    """Rewrite the tables."""
    config = parse(
        TableConfig,
        arguments,
        program="python -m scripts.readme_table",
        description=__doc__ or "",
    )
    text = config.readme.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        text = with_table(text, name, table(config.results))
    write_atomically(config.readme, text)
    say(f"{config.readme}: tables of {' and '.join(TABLES)}")


if __name__ == "__main__":
    run_script(main, "readme_table")
