"""How far the metrics are from the authors' programs, beside piq and scikit-image.

GOLDEN holds scores.csv, with the scores of the authors' own programs for pairs of pictures (columns
ref, dist, then one per metric), and the pictures in images/. piq's figures come with piq installed;
scikit-image has SSIM alone.

Example:
    python -m scripts.report_metrics GOLDEN --out results/metrics_fidelity.csv
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from fr_metrics import METRICS, score_all
from mtl import compilation_cache
from mtl.files import InputError, read_table, table_text, write_atomically
from mtl.pictures import read_picture
from mtl.progress import progress_bar, say
from scripts.bench_metrics import PIQ
from scripts.command_line import parse, run_script
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


def piq_scores(pair: Images) -> dict[str, float]:
    """piq's scores of one pair, by metric; empty where piq is not installed."""
    if importlib.util.find_spec("piq") is None:
        return {}
    import piq  # type: ignore[import-not-found]
    import torch  # type: ignore[import-not-found]

    x, y = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 for image in pair)
    with torch.no_grad():
        return {
            name: float(getattr(piq, function)(x, y, data_range=1.0))
            for name, function in PIQ.items()
        }


def scikit_image_scores(pair: Images) -> dict[str, float]:
    """SSIM as scikit-image's documentation says to match Wang et al."""
    gray = [rgb2gray(image) for image in pair]
    settings: dict[str, Any] = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 1.0,
    }
    return {"ssim": float(structural_similarity(*gray, **settings))}


def our_scores(pair: Images) -> dict[str, float]:
    """Ours, in the precision JAX is set to."""
    return {name: float(value) for name, value in score_all(*pair).items()}


def largest_differences(
    rows: Sequence[Mapping[str, str]], golden: Path, *, progress: bool = False
) -> list[dict[str, Any]]:
    """A row per metric.

    metric, pairs, float64 and float32 (ours), piq, scikit_image: the largest absolute difference
    to the authors' program; float32 of metrics without one is against our float64.
    """
    largest: dict[str, dict[str, float]] = {name: {} for name in METRICS}

    def note(library: str, scores: Mapping[str, float], expected: Mapping[str, float]) -> None:
        for name, value in scores.items():
            if name in expected:
                before = largest[name].get(library, 0.0)
                largest[name][library] = max(before, abs(value - expected[name]))

    libraries: dict[str, Callable[[Images], dict[str, float]]] = {
        "piq": piq_scores,
        "scikit_image": scikit_image_scores,
    }
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
            for library, score in libraries.items():
                note(library, score(pair), authors)
            bar.update()
    columns = ("float64", "float32", *libraries)
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
    packages = ["jax", "numpy", "scikit-image"]
    if importlib.util.find_spec("piq") is not None:
        packages += ["piq", "torch"]
    table = largest_differences(rows, config.golden, progress=True)
    for row in table:
        print("  ".join(f"{key} {value}" for key, value in row.items() if value != ""))
    source = provenance(packages)
    write_atomically(config.out, table_text([row | source for row in table]))
    say(f"{config.out}: written")


def _picture(golden: Path, name: str) -> Path:
    return golden / "images" / f"{name}.png"


if __name__ == "__main__":
    run_script(main, "report_metrics")
