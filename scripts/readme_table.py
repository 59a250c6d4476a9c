"""Write the README's table of metrics from the published measurements.

Example:
    python -m scripts.readme_table --readme README.md --results results
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fr_metrics import METRICS
from mtl.files import InputError, read_table, write_atomically
from mtl.progress import say
from scripts.bench_metrics import ALL
from scripts.command_line import parse, run_script

BEGIN, END = "<!-- metrics: from results/ -->", "<!-- end of metrics -->"

# Of the scores. A round bracket is a value that is not reached; without brackets, in practice.
RANGES = {
    "ssim": "(-1, 1]",
    "ms_ssim": "[0, 1]",
    "iw_ssim": "[0, 1]",
    "mdsi": "0 to 0.7",
    "vsi": "(0, 1]",
    "fsimc": "(0, 1]",
    "gmsd": "0 to 0.35",
    "sff": "[-1, 1]",
    "scqi": "(0, 1]",
    "add_gsim": "(0, 1]",
    "sr_sim": "(0, 1]",
}


@dataclass(frozen=True)
class TableConfig:
    """What to write where."""

    readme: Path = Path("README.md")
    """File with the two comments between which the table stands."""
    results: Path = Path("results")
    """Folder of metrics_speed.csv and metrics_fidelity.csv."""


def metrics_table(results: Path) -> str:
    """The table in Markdown.

    Raises:
        InputError: a file of measurements is missing or lacks a metric.
    """
    speed = _by_metric(results / "metrics_speed.csv", (*METRICS, ALL))
    fidelity = _by_metric(results / "metrics_fidelity.csv", tuple(METRICS))
    lines = [
        "| metric | better | range | authors' numbers | float64 | float32 | piq | scikit-image | ms"
        " | piq, ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, metric in METRICS.items():
        found, times = fidelity[name], speed[name]
        cells = [
            f"[`{name}`](https://doi.org/{metric.reference})",
            "higher" if metric.higher_is_better else "lower",
            RANGES[name],
            "equal" if metric.verified else "close" if found["float64"] else "not compared",
            *(_or_dash(found[key]) for key in ("float64", "float32", "piq", "scikit_image")),
            times["ms"],
            _or_dash(times["piq_ms"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    theirs = sum(float(speed[name]["piq_ms"] or 0) for name in METRICS)
    total = [f"all {len(METRICS)}", *[""] * 7, speed[ALL]["ms"], f"{theirs:.0f}" if theirs else "–"]
    lines.append(f"| {' | '.join(total)} |")
    machine = speed[ALL]
    lines += ["", f"{machine['date']}, {machine['hardware']}, {machine['versions']}."]
    return "\n".join(lines)


def _by_metric(path: Path, names: Sequence[str]) -> dict[str, Mapping[str, str]]:
    rows = {row["metric"]: row for row in read_table(path, ("metric",))}
    for name in names:
        if name not in rows:
            raise InputError(f"{path}: has no row of {name}; run the benchmark that writes it")
    return {name: rows[name] for name in names}


def _or_dash(text: str) -> str:
    return text or "–"


def with_table(readme: str, table: str) -> str:
    """The README with the table between its two comments.

    Raises:
        InputError: the comments are not there.
    """
    if BEGIN not in readme or END not in readme:
        raise InputError(f"the README needs the lines {BEGIN} and {END}")
    before, rest = readme.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}"


def main(arguments: Sequence[str]) -> None:
    """Rewrite the table."""
    config = parse(
        TableConfig,
        arguments,
        program="python -m scripts.readme_table",
        description=__doc__ or "",
    )
    text = config.readme.read_text(encoding="utf-8")
    write_atomically(config.readme, with_table(text, metrics_table(config.results)))
    say(f"{config.readme}: table of {len(METRICS)} metrics")


if __name__ == "__main__":
    run_script(main, "readme_table")
