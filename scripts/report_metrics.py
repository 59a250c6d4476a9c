"""How far the metrics are from the authors' programs, beside piq, pyiqa and scikit-image.

GOLDEN holds scores.csv, with the scores of the authors' own programs for pairs of pictures (columns
ref, dist, then one per metric), and the pictures in images/. piq's and pyiqa's figures come where
they are installed.

Example:
    python -m scripts.report_metrics GOLDEN --out results/metrics_fidelity.csv
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from deepfl.command_line import parse, run_script
from fr_metrics import METRICS, score_all
from mtl.runtime import compilation_cache
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import read_picture
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import read_table, table_text
from scripts.other_libraries import LIBRARIES, Library, installed_libraries, packages
from scripts.provenance import provenance

# Column of scores.csv of each metric whose authors' program is at hand.
COLUMNS = {
    "ssim": "ssim",
    "ms_ssim": "msssim",
    "iw_ssim": "iwssim",
    "mdsi": "mdsi",
    "vsi": "vsi",
    "fsimc": "fsimc",
    "gmsd": "gmsd",
    "sff": "sff",
    "sr_sim": "srsim",
}

Images = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ReportConfig:
    """Where the authors' scores are, and where the table goes."""

    golden: Path
    """Folder with scores.csv and images/."""
    out: Path = Path("results/metrics_fidelity.csv")
    """CSV file to write."""


def our_scores(pair: Images) -> dict[str, float]:
    """Ours, in the precision JAX is set to."""
    return {name: float(value) for name, value in score_all(*pair).items()}


def largest_differences(
    rows: Sequence[Mapping[str, str]],
    golden: Path,
    libraries: Mapping[str, Library],
    *,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """A row per metric.

    metric, pairs, float64 and float32 (ours), and the name of each of `LIBRARIES`: the largest
    absolute difference to the authors' program; float32 of metrics without one is against our
    float64, and of a library that is not given the column is empty.
    """
    largest: dict[str, dict[str, float]] = {name: {} for name in METRICS}

    def note(library: str, scores: Mapping[str, float], expected: Mapping[str, float]) -> None:
        for name, value in scores.items():
            if name in expected:
                before = largest[name].get(library, 0.0)
                largest[name][library] = max(before, abs(value - expected[name]))

    with progress_bar(len(rows), "comparing", "pair", show=progress) as bar:
        for row in rows:
            pair = (
                read_picture(_picture(golden, row["ref"])),
                read_picture(_picture(golden, row["dist"])),
            )
            authors = {name: float(row[column]) for name, column in COLUMNS.items()}
            with jax.enable_x64(True):
                double = our_scores(pair)
            note("float64", double, authors)
            note("float32", our_scores(pair), double | authors)
            for library, each in libraries.items():
                calls = each.calls(pair[0], pair[1][None])
                note(library, {name: float(call()[0]) for name, call in calls.items()}, authors)
            bar.update()
    columns = ("float64", "float32", *LIBRARIES)
    return [
        {"metric": name, "pairs": len(rows)}
        | {key: f"{found[key]:.1e}" if key in found else "" for key in columns}
        for name, found in largest.items()
    ]


def main(arguments: Sequence[str]) -> None:
    """Run the comparison."""
    config = parse(
        ReportConfig,
        arguments,
        program="python -m scripts.report_metrics",
        description=__doc__ or "",
        positional=("golden",),
    )
    rows = read_table(config.golden / "scores.csv", ("ref", "dist", *COLUMNS.values()))
    absent = [row["dist"] for row in rows if not _picture(config.golden, row["dist"]).is_file()]
    if absent:
        raise InputError(f"{_picture(config.golden, absent[0])}: no such picture")
    compilation_cache.enable()
    libraries = installed_libraries()
    table = largest_differences(rows, config.golden, libraries, progress=True)
    for row in table:
        print("  ".join(f"{key} {value}" for key, value in row.items() if value != ""))
    source = provenance(["jax", "numpy", *packages(libraries)])
    write_atomically(config.out, table_text([row | source for row in table]))
    say(f"{config.out}: written")


def _picture(golden: Path, name: str) -> Path:
    return golden / "images" / f"{name}.png"


if __name__ == "__main__":
    run_script(main, "report_metrics")
