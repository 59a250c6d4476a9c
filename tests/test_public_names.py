"""What the packages offer, checked in; adding or losing a name is a decision."""

import importlib
import subprocess
import sys

import pytest

PUBLIC = {
    "mtl": ["InceptionResNetV2", "MTLModel"],
    "mtl.kadis": [
        "GenerateConfig",
        "Summary",
        "Verification",
        "VerifyConfig",
        "generate",
        "verify",
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
    "mlsp": ["BLOCKS", "Predictor", "benchmark", "extract"],
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
    "mlsp.databases": ["DATABASES", "Database", "Layout", "download_help", "open_database"],
}


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_those_listed(package):
    module = importlib.import_module(package)
    assert sorted(module.__all__) == PUBLIC[package]
    assert all(hasattr(module, name) for name in module.__all__)


def test_dependencies_point_one_way():
    """Importing a package loads none of those above it."""
    above = {
        "distortions": ("fr_metrics", "mtl", "mlsp", "scripts", "jax", "ray"),
        "fr_metrics": ("distortions", "mtl", "mlsp", "scripts", "cv2", "ray"),
        "mtl.train": ("mlsp", "scripts", "tyro", "tensorflow", "keras", "torch"),
        "mtl.finetune": ("mlsp", "scripts", "tyro", "tensorflow", "keras", "torch"),
        "mtl.pretrained": ("mlsp", "scripts", "tyro", "tensorflow", "keras", "h5py", "torch"),
        "mlsp": ("scripts", "tyro", "tensorflow", "keras", "torch"),
    }
    for package, forbidden in above.items():
        program = f"import sys, {package}; print([m for m in {forbidden} if m in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]", package
