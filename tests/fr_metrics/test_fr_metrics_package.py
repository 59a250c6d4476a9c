"""What the package shows and what importing it brings in."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import fr_metrics
from fr_metrics import METRICS

PUBLIC_NAMES = ["METRICS", "HistogramEqualization", "Metric", "score", "score_all"]
PAPER_ORDER = (
    *("ssim", "ms_ssim", "iw_ssim", "mdsi", "vsi", "fsimc"),
    *("gmsd", "sff", "scqi", "add_gsim", "sr_sim"),
)


def test_the_public_names_are_the_agreed_ones():
    assert fr_metrics.__all__ == PUBLIC_NAMES
    assert all(getattr(fr_metrics, name).__doc__ for name in PUBLIC_NAMES if name != "METRICS")


def test_the_table_is_in_the_papers_order_and_read_only():
    assert list(METRICS) == [name for name in PAPER_ORDER if name in METRICS]
    with pytest.raises(TypeError):
        METRICS["ssim"] = METRICS["gmsd"]
    with pytest.raises(FrozenInstanceError):
        METRICS["ssim"].name = "other"


def test_every_row_of_the_table_is_complete():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.function.__name__ == name
        assert metric.reference.startswith("10.")
        assert metric.reference in metric.function.__doc__
        assert metric.identical == (1.0 if metric.higher_is_better else 0.0)
        assert metric.min_size >= 1
        in_practice = f"[{metric.range.replace(' to ', ', ')}] in practice"
        stated = in_practice if " to " in metric.range else metric.range
        assert f"Range {stated}," in " ".join(metric.function.__doc__.split())
    assert {name for name, metric in METRICS.items() if not metric.higher_is_better} == {
        "mdsi",
        "gmsd",
    }


def test_importing_brings_in_jax_and_numpy_only():
    program = """
import json, sys, fr_metrics
from jax._src import xla_bridge
unwanted = {"cv2", "skimage", "ray", "sklearn", "matplotlib", "scipy.ndimage", "flax", "pandas"}
print(json.dumps([sorted(unwanted & set(sys.modules)), xla_bridge.backends_are_initialized()]))
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(fr_metrics.__file__).parents[1],
    )
    assert json.loads(result.stdout) == [[], False]
