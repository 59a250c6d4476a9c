import json
import os
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

import distortions
from distortions import DISTORTIONS, Distortion
from distortions.table import Deterministic

GROUPS = ("blur", "color", "compression", "noise", "brightness", "spatial", "sharpness")
# In the order of KADID-10k, 1 to 25; users and data sets refer to them.
NAMES = (
    "gaussian_blur", "lens_blur", "motion_blur", "color_diffusion", "color_shift",
    "color_quantization", "color_saturation_hsv", "color_saturation_lab", "jpeg2000", "jpeg",
    "white_noise", "white_noise_ycbcr", "impulse_noise", "multiplicative_noise", "denoise",
    "brighten", "darken", "mean_shift", "jitter", "non_eccentricity_patch", "pixelate",
    "quantization", "color_block", "high_sharpen", "contrast_change",
)  # fmt: skip
RANDOM = (3, 5, 11, 12, 13, 14, 15, 19, 20, 23)


def test_public_names():
    assert distortions.__all__ == ["DISTORTIONS", "Distortion", "distort"]


def test_table_rows():
    assert tuple(DISTORTIONS) == tuple(range(1, 26))
    for number, row in DISTORTIONS.items():
        assert isinstance(row, Distortion)
        assert row.id == number
        assert row.name == NAMES[number - 1]
        assert row.group in GROUPS
        assert len(row.levels) == 5
        assert row.parameter
        assert row.is_random == (number in RANDOM)
        assert isinstance(row.apply, Deterministic) == (not row.is_random)


def test_groups_are_contiguous():
    groups = [row.group for row in DISTORTIONS.values()]
    assert [g for i, g in enumerate(groups) if i == 0 or groups[i - 1] != g] == list(GROUPS)


def test_amounts_are_those_of_the_release(golden):
    levels = json.loads((golden / "levels.json").read_text())["levels_v1"]
    for number, row in DISTORTIONS.items():
        assert list(row.levels) == levels[str(number)], row.name


def test_mildest_level_is_the_best_rated(golden):
    """The published ratings decide between the orders that copies of the program disagree about."""
    ratings = json.loads((golden / "kadid10k_mean_rating_by_type_level.json").read_text())
    for number in (18, 25):
        assert np.argmax(ratings[f"{number:02d}"]) == 2
        levels = DISTORTIONS[number].levels
        assert levels[2] == 0
        assert list(levels) == sorted(levels, reverse=True)


def test_table_is_read_only():
    with pytest.raises(TypeError):
        DISTORTIONS[1] = DISTORTIONS[2]  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        DISTORTIONS[1].id = 2  # type: ignore[misc]


def test_rows_can_be_sent_to_another_process():
    for row in DISTORTIONS.values():
        assert pickle.loads(pickle.dumps(row)) == row


def test_importing_stays_light():
    script = (
        "import sys, distortions;"
        "print([m for m in ('jax', 'ray', 'sklearn', 'flax', 'tensorflow') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(distortions.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"
