"""Compare the published figures with a re-run at small size.

results/check.csv holds, for each table of results that says how good something is, the same kind of
figure from a demonstration that takes a few minutes, measured when the tables were. A change of the
code that moves one of them beyond what rounding explains has changed what is published: then the
tables are to be measured again (each names its script), and this one with --update. How fast
something is differs between machines and is not checked.

Example:
    python -m scripts.check_results
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from deepfl.command_line import parse, run_script
from distortions import DISTORTIONS, distort
from distortions.denoiser import load_denoiser
from fr_metrics import METRICS
from mlsp.baselines.brisque import brisque
from mlsp.baselines.feature_tables import baseline_features
from mlsp.choosing.indicators import measured
from mlsp.choosing.selection import equal_bins, select
from mlsp.databases.condition_means import mean_ratings
from mlsp.demonstration.demo import run_demo
from mlsp.demonstration.folder import RANKING_FILE, DemoConfig
from mlsp.evaluation.benchmarking import Task, benchmark
from mlsp.evaluation.measures import CORRELATIONS
from mlsp.features.data_sets import DataSet
from mlsp.regression import MLPSettings, SVRSettings
from mlsp.report.data_summary import read_data_summary
from mtl.curation.curate import CurateConfig, crop_of
from mtl.denoising.denoiser_evaluation import psnr
from mtl.evaluation.correlation import srocc
from mtl.network.networks import NETWORKS
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import Rejected, list_pictures, read_picture
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import read_table, table_text
from mtl.training.run_folder import read_log
from scripts.bench_networks import body_sizes
from scripts.bench_ratings import BenchConfig, screening_rates
from scripts.provenance import provenance

# The demonstration that is re-run.
SMALL: Mapping[str, object] = {
    "types": ("gaussian_blur", "jpeg"),
    "epochs": 1,
    "crop": (80, 80),
    "svr_repetitions": 3,
    "mlp_repetitions": 1,
    "mlp_epochs": 1,
    "mlp_learning_rates": (1e-3,),
}

SAMPLE = "chelsea.png"
SIDE = 192  # pixels of the crop for what needs no demonstration
SIGMA = 25  # grey levels of the noise that the denoiser is given

# The regressors that are re-run.
TASKS = (
    Task(SVRSettings(), 10),
    Task(SVRSettings(kernel="linear"), 10),
    Task(MLPSettings((1e-3,), epochs=5), 3),
)

Figures = dict[str, float | int]
"""By name; whole numbers are compared as they are, others are rounded to six digits."""


@dataclass(frozen=True)
class CheckConfig:
    """What to compare."""

    results: Path = Path("results")
    """Folder of check.csv."""
    demo: Path | None = None
    """Demonstration of the right size that is there already, in the place of a new one."""
    update: bool = False
    """Write check.csv anew instead of comparing."""


@dataclass(frozen=True)
class Check:
    """Figures of a small re-run that stand for a published table."""

    published: str
    """File in results/."""
    figures: Callable[[Path], Figures]
    """From the folder of a demonstration."""
    absolute: float
    """Largest difference that rounding explains: other processors, compilers' options, and what
    training makes of them."""


def distortion_figures(demo: Path) -> Figures:
    """Mean change of a photograph by each type at its middle level, in grey levels."""
    photo = _sample(demo)
    return {
        f"change by {d.name}": float(np.abs(distort(photo, n, 3).astype(float) - photo).mean())
        for n, d in DISTORTIONS.items()
    }


def score_figures(demo: Path) -> Figures:
    """Mean score of the demonstration's images by each metric."""
    return {f"mean {metric}": float(values.mean()) for metric, values in _scores(demo)[0].items()}


def ranking_figures(demo: Path) -> Figures:
    """How each metric ranks the demonstration's images, against KADID-10k's condition means."""
    scores, ratings = _scores(demo)
    return {
        f"SROCC of {metric}": srocc(values * (1 if METRICS[metric].higher_is_better else -1),
                                    ratings)
        for metric, values in scores.items()
    }  # fmt: skip


def denoiser_figures(demo: Path) -> Figures:
    """PSNR of a photograph with noise, after the denoiser."""
    plane = cv2.cvtColor(_sample(demo), cv2.COLOR_RGB2GRAY) / 255
    noisy = plane + SIGMA / 255 * np.random.default_rng(0).standard_normal(plane.shape)
    return {f"PSNR in dB at {SIGMA}": psnr(noisy - load_denoiser().noise(noisy), plane)}


def training_figures(demo: Path) -> Figures:
    """Losses of the demonstration's only epoch."""
    (row,) = read_log(demo / "run")
    return {name: row[name] for name in ("train_loss", "validation_loss")}


def benchmark_figures(demo: Path) -> Figures:
    """Median correlations of regressors on BRISQUE's features of the demonstration's images.

    Not on the network's: so short a training multiplies roundings until they decide.
    """
    data = DataSet(demo / "kadis")
    with tempfile.TemporaryDirectory() as folder:
        features = baseline_features("brisque", data, Path(folder))
    scores = mean_ratings((c["distortion"], c["level"]) for c in data.columns)
    groups = [c["reference"] for c in data.columns]
    found = benchmark(features.astype(np.float32), scores, groups, tasks=TASKS)
    return {
        f"{row['method']} {name}": float(row[f"{name}_median"])
        for row in found.summary
        for name in CORRELATIONS
    }


def brisque_figures(demo: Path) -> Figures:
    """Mean of BRISQUE's features of a photograph."""
    return {"mean of BRISQUE's features": float(brisque(_sample(demo)).mean())}


def included_figures(demo: Path) -> Figures:
    """What the included model, the experiment's, says of the demonstration's images."""
    rows = read_table(demo / RANKING_FILE, ("image", "quality"))
    scores = mean_ratings(row["image"].rsplit("/", 1)[1].split("_") for row in rows)
    quality = np.array([float(row["quality"]) for row in rows])
    return {"mean quality": float(quality.mean()), "SROCC of quality": srocc(quality, scores)}


def screening_figures(demo: Path) -> Figures:
    """Rates among simulated raters, which are no part of a demonstration."""
    del demo
    (row,) = screening_rates(BenchConfig(ratings=(80,), shares=(0.2,), studies=3))
    return {name: row[name] for name in ("cheaters_found", "honest_removed")}


def choosing_figures(demo: Path) -> Figures:
    """Mean indicators of the sample photographs' crops, and a choice of four among them by these.

    Bitrates are left out: they follow from the library that wrote the demonstration's files.
    """
    config = CurateConfig(demo / "photographs", demo / "unused", size=(SIDE, SIDE))
    rows = []
    for name in list_pictures(config.photos):
        cropped = crop_of(config, name)
        if isinstance(cropped, Rejected):
            raise InputError(f"{cropped.file}: {cropped.reason}")
        rows.append(measured(config.photos / name, cropped.shape, cropped.image))
    names = ("brightness", "colorfulness", "contrast", "sharpness")
    values = np.array([[row[name] for name in names] for row in rows])
    bins = np.column_stack([equal_bins(column, 3) for column in values.T])
    choice = select(bins, 4)
    return {
        **dict(zip(names, values.mean(axis=0).tolist(), strict=True)),
        "value of the programme": choice.value,
        "bound of the programme": choice.bound,
    }


def network_figures(demo: Path) -> Figures:
    """Numbers of every network that are no demonstration's: parameters, features, MLSP numbers.

    Memory and speed, which differ between machines, are left out.
    """
    del demo
    return {
        f"{what} of {name}": number
        for name in NETWORKS
        for what, number in body_sizes(name).items()
    }


CHECKS: tuple[Check, ...] = (
    Check("distortions_fidelity.md", distortion_figures, 0.001),
    Check("metrics_fidelity.csv", score_figures, 1e-4),
    Check("metrics_kadid.csv", ranking_figures, 0.002),
    Check("denoiser.csv", denoiser_figures, 0.001),
    Check("training_run.csv", training_figures, 0.06),
    Check("experiment.csv", included_figures, 0.002),
    Check("agiqa3k.csv", brisque_figures, 1e-6),
    Check("agiqa3k.csv", benchmark_figures, 0.01),
    Check("networks.csv", network_figures, 0),
    Check("ratings_screening.csv", screening_figures, 0.005),
    Check("choosing.csv", choosing_figures, 0.001),
)


def check_rows(demo: Path) -> list[dict[str, object]]:
    """All figures of a demonstration: published, figure, value, tolerance."""
    return [
        {
            "published": check.published,
            "figure": figure,
            "value": value if isinstance(value, int) else float(f"{value:.6g}"),
            "tolerance": check.absolute,
        }
        for check in CHECKS
        for figure, value in check.figures(demo).items()
    ]


def differences(path: Path, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """A line for each figure that is not what `path` says, or that only one of the two has.

    Raises:
        InputError: the file is missing or damaged.
    """
    known = {
        (row["published"], row["figure"]): row
        for row in read_table(path, ("published", "figure", "value", "tolerance"))
    }
    lines = []
    for row in rows:
        key = (str(row["published"]), str(row["figure"]))
        stored = known.pop(key, None)
        if stored is None:
            lines.append(f"{key[0]}: {key[1]}: is new")
            continue
        try:
            before, tolerance = float(stored["value"]), float(stored["tolerance"])
        except ValueError as error:
            raise InputError(f"{path}: {key[1]}: is not a number ({error})") from error
        now = float(str(row["value"]))
        if not abs(now - before) <= tolerance:  # NaN is a difference, too
            lines.append(f"{key[0]}: {key[1]}: was {before:.9g}, is {now:.9g} (± {tolerance:g})")
    return lines + [f"{published}: {figure}: is gone" for published, figure in known]


def main(arguments: Sequence[str]) -> int:
    """Compare, or update; returns the exit code."""
    config = parse(
        CheckConfig,
        arguments,
        program="python -m scripts.check_results",
        description=__doc__ or "",
    )
    path = config.results / "check.csv"
    if config.demo is not None:
        rows = check_rows(config.demo)
    else:
        with tempfile.TemporaryDirectory() as folder:
            demo = Path(folder) / "demo"
            run_demo(DemoConfig(demo, **SMALL))  # type: ignore[arg-type]
            rows = check_rows(demo)
    if config.update:
        source = provenance(["jax", "numpy", "opencv-python-headless", "scikit-learn"])
        write_atomically(path, table_text([row | source for row in rows]))
        say(f"{path}: {len(rows)} figures written")
        return 0
    found = differences(path, rows)
    for line in found:
        print(line)
    say(f"{path}: {len(rows)} figures, {len(found)} differ")
    return 1 if found else 0


def _sample(demo: Path) -> np.ndarray:
    photo = read_picture(demo / "photographs" / SAMPLE)
    return np.ascontiguousarray(photo[50 : 50 + SIDE, 100 : 100 + SIDE])


def _scores(demo: Path) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """Scores by metric of all images, and KADID-10k's mean ratings of their conditions."""
    held = read_data_summary(demo / "kadis")
    return held.scores, mean_ratings(zip(held.distortions, held.levels, strict=True))


if __name__ == "__main__":
    run_script(main, "check_results")
