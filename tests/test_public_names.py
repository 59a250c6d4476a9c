"""What the packages offer, checked in; adding or losing a name is a decision."""

import importlib
import subprocess
import sys

import pytest

from mtl.runtime.extras import LIBRARIES

PUBLIC = {
    "deepfl": [
        "DISTORTIONS",
        "HistogramEqualization",
        "METRICS",
        "benchmark",
        "distort",
        "extract",
        "predict",
        "score",
        "score_all",
    ],
    "distortions": ["DISTORTIONS", "Distortion", "distort"],
    "fr_metrics": ["HistogramEqualization", "METRICS", "Metric", "score", "score_all"],
    "mtl": [],
    "mtl.kadis": [],
    "mtl.runtime.pictures": [
        "FOREIGN_SUFFIXES",
        "Rejected",
        "encode_png",
        "list_pictures",
        "picture_size",
        "read_picture",
    ],
    "mtl.ratings": [
        "RatingsConfig",
        "RawRatings",
        "Scores",
        "Screening",
        "ScreeningSettings",
        "Study",
        "Votes",
        "read_raw",
        "run_ratings",
        "score_images",
        "screen",
        "votes_of",
    ],
    "mlsp": [],
    "mlsp.baselines": ["BASELINES", "Baseline"],
    "mlsp.features": ["extract"],
    "mlsp.evaluation": ["benchmark"],
    "mlsp.prediction": ["predict"],
    "mlsp.choosing": [
        "Chosen",
        "DiverseConfig",
        "Selection",
        "curate_diverse",
        "quota_for",
        "quota_sample",
        "select",
        "without_nearest",
    ],
    "mlsp.regression": [
        "Examples",
        "Execution",
        "KINDS",
        "Kind",
        "Loss",
        "MLPSettings",
        "Outcome",
        "Regressor",
        "SVRSettings",
        "Settings",
        "Weighting",
        "fit",
        "load_regressor",
        "save_regressor",
        "settings_of",
        "train_and_test",
    ],
    "mlsp.databases": ["DATABASES", "Database", "Layout", "download_help", "open_database"],
}


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_those_listed(package):
    module = importlib.import_module(package)
    assert sorted(getattr(module, "__all__", [])) == PUBLIC[package]
    assert all(hasattr(module, name) for name in PUBLIC[package])


def test_dependencies_point_one_way():
    """Importing a package loads none of those above it, nor what few of its users need."""
    heavy = ("deepfl", "tyro", "tensorflow", "keras", "h5py", "torch")
    optional = tuple(LIBRARIES)
    above = {
        "distortions": ("fr_metrics", "mtl", "mlsp", "jax", "ray", *heavy),
        "fr_metrics": ("distortions", "mtl", "mlsp", "cv2", "ray", *heavy),
        "mtl.ratings": ("mlsp", *optional, *heavy),
        "mtl.training.multitask.train": ("mlsp", *heavy),
        "mtl.training.opinions.finetune": ("mlsp", *heavy),
        "mtl.network.imports.pretrained": ("mlsp", *heavy),
        "mlsp.evaluation": heavy,
        "mlsp.prediction": (*optional, *heavy),
    }
    # What is loaded stays: only packages that go from the bottom to the top share a process.
    for packages in (("distortions",), tuple(above)[1:-1], ("mlsp.prediction",)):
        program = "import importlib, sys\n" + "".join(
            f"importlib.import_module({package!r})\n"
            f"print({package!r}, [m for m in {above[package]} if m in sys.modules])\n"
            for package in packages
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == [f"{package} []" for package in packages]
