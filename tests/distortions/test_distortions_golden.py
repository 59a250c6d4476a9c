"""Fidelity to the reference outputs; random types at the draws the references were made for."""

import csv
import hashlib
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest

from distortions import DISTORTIONS, distort
from distortions._matlab import rescale, round_half_away, to_8bit
from distortions.blur import disk_kernel, motion_blur, motion_kernel
from distortions.color import color_shift

# Largest 8-bit difference allowed to the reference, by type.
TOLERANCE = {
    1: 0, 2: 1, 3: 1, 4: 1, 5: 0, 7: 1, 8: 2, 10: 0, 16: 1, 17: 0, 18: 0, 21: 0, 24: 1, 25: 0,
}  # fmt: skip
DIRECTIONS = {"1": (0.0, 1.0), "2": (math.sqrt(0.5), math.sqrt(0.5)), "3": (1.0, 0.0)}

FULL_REFERENCE = (
    Path(os.environ.get("DEEPFL_GOLDEN", Path(__file__).resolve().parents[3] / "shared" / "golden"))
    / "distortions"
)


def parse(name: str) -> tuple[str, int, int, str]:
    match = re.fullmatch(r"([a-z]+)_(\d\d)_0(\d)(?:_[ad](\d+))?\.png", name)
    assert match, name
    return match[1], int(match[2]), int(match[3]), match[4]


def reproduce(image: np.ndarray, type_id: int, level: int, draw: str) -> np.ndarray:
    amount = DISTORTIONS[type_id].levels[level - 1]
    working = rescale(image.astype(np.float64))
    if type_id == 3:
        return to_8bit(rescale(motion_blur(working, amount, int(draw))))
    if type_id == 5:
        rows, columns = round_half_away(amount * np.array(DIRECTIONS[draw]))
        return to_8bit(rescale(color_shift(working, (int(rows), int(columns)))))
    return distort(image, type_id, level)


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize(
    "name",
    [
        "chelsea_02_03.png",
        "chelsea_03_03_a030.png",
        "chelsea_04_03.png",
        "chelsea_07_03.png",
        "chelsea_08_03.png",
        "chelsea_16_03.png",
        "chelsea_24_03.png",
    ],
)
def test_kept_pictures(golden, read_rgb, chelsea, name):
    _, type_id, level, draw = parse(name)
    result = reproduce(chelsea, type_id, level, draw)
    assert difference(result, read_rgb(golden / name)) <= TOLERANCE[type_id]


def test_bit_exact_types_by_hash(golden, chelsea):
    with (golden / "sha256.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 21
    wrong = []
    for row in rows:
        _, type_id, level, draw = parse(row["file"])
        result = reproduce(chelsea, type_id, level, draw)
        if hashlib.sha256(result.tobytes()).hexdigest() != row["sha256"]:
            wrong.append(row["file"])
    assert wrong == []


def full_reference_names() -> list[str]:
    names = sorted(path.name for path in FULL_REFERENCE.glob("*_*_*.png"))
    return [name for name in names if re.search(r"_0\d(_[ad]\d+)?\.png$", name)]


@pytest.mark.skipif(not FULL_REFERENCE.is_dir(), reason=f"no reference outputs at {FULL_REFERENCE}")
@pytest.mark.parametrize("type_id", TOLERANCE)
def test_full_reference(read_rgb, type_id):
    names = [name for name in full_reference_names() if parse(name)[1] == type_id]
    assert names
    for name in names:
        picture, _, level, draw = parse(name)
        result = reproduce(read_rgb(FULL_REFERENCE / f"{picture}.png"), type_id, level, draw)
        assert difference(result, read_rgb(FULL_REFERENCE / name)) <= TOLERANCE[type_id], name


@pytest.mark.parametrize("radius", [1, 2, 4, 6, 8])
def test_disk_kernels(golden, radius):
    reference = np.loadtxt(golden / f"disk_{radius}.csv", delimiter=",")
    np.testing.assert_allclose(disk_kernel(radius), reference, rtol=0, atol=1e-9)


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 120])
@pytest.mark.parametrize("length", [1, 2, 4, 6, 10])
def test_motion_kernels(golden, length, angle):
    path = golden / f"motion_{length}_{angle:03d}.csv"
    reference = np.loadtxt(path, delimiter=",", ndmin=2)
    kernel = motion_kernel(length, angle)
    # At length 1 and 120 degrees the reference has a rim of rounding noise; the centres agree.
    margins = [(a - b) // 2 for a, b in zip(reference.shape, kernel.shape, strict=True)]
    padded = np.pad(kernel, [(margin, margin) for margin in margins])
    np.testing.assert_allclose(padded, reference, rtol=0, atol=1e-9)
