"""Fidelity to the reference outputs; random types at the draws the references were made for."""

import csv
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest

from distortions import DISTORTIONS, distort
from distortions._matlab import rescale, to_8bit
from distortions.blur import disk_kernel, motion_kernel
from distortions.compression import encode_jpeg2000
from mtl.runtime.files import InputError
from scripts.report_distortions import (
    KNOWN_DEVIATIONS,
    block_difference,
    largest_difference,
    palette,
    parse_name,
    report,
    reproduce,
)

# Largest 8-bit difference allowed to the reference, by type.
TOLERANCE = {
    1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 7: 1, 8: 0, 10: 0, 16: 0, 17: 0, 18: 0, 21: 0, 22: 0, 24: 0,
    25: 0,
}  # fmt: skip
# 06 and 09 stand for programs that are not available and are judged by what must agree.
BLOCK_TOLERANCE = {8: 4.5, 16: 4.5, 32: 2.0, 48: 2.0, 64: 2.0}  # grey levels, by number of colours
BLOCK_TOLERANCE_ON_AVERAGE = 3.0  # grey levels
PSNR_TOLERANCE = 0.5  # dB, of the PSNR to the undistorted picture
FILE_SIZE_TOLERANCE = 0.05  # relative

FULL_REFERENCE = (
    Path(os.environ.get("DEEPFL_GOLDEN", Path(__file__).resolve().parents[3] / "shared" / "golden"))
    / "distortions"
)


def parse(name: str) -> tuple[str, int, int, str]:
    parsed = parse_name(name)
    assert parsed, name
    return parsed


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
    assert largest_difference(result, read_rgb(golden / name)) <= TOLERANCE[type_id]


def test_bit_exact_types_by_hash(golden, chelsea):
    with (golden / "sha256.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    wrong = []
    for row in rows:
        _, type_id, level, draw = parse(row["file"])
        result = reproduce(chelsea, type_id, level, draw)
        if hashlib.sha256(result.tobytes()).hexdigest() != row["sha256"]:
            wrong.append(row["file"])
    assert wrong == []


def assert_same_quantization(image: np.ndarray, level: int, reference: np.ndarray) -> float:
    result = distort(image, 6, level)
    count = DISTORTIONS[6].levels[level - 1]
    assert len(palette(result)) == count
    np.testing.assert_array_equal(palette(result), palette(reference))
    found = block_difference(result, reference)
    assert found < BLOCK_TOLERANCE[count]
    return found


def test_color_quantization(golden, read_rgb, chelsea):
    assert_same_quantization(chelsea, 5, read_rgb(golden / "chelsea_06_05.png"))


def assert_same_jpeg2000(image: np.ndarray, level: int, reference: np.ndarray) -> None:
    stretched = to_8bit(rescale(image.astype(np.float64)))
    ratio = DISTORTIONS[9].levels[level - 1]
    found, expected = (
        10 * np.log10(255**2 / np.mean((x.astype(float) - stretched) ** 2))
        for x in (distort(image, 9, level), reference)
    )
    assert found == pytest.approx(expected, abs=PSNR_TOLERANCE)
    size = len(encode_jpeg2000(stretched, ratio))
    assert size == pytest.approx(image.size / ratio, rel=FILE_SIZE_TOLERANCE)


def test_jpeg2000(golden, read_rgb, chelsea):
    assert_same_jpeg2000(chelsea, 3, read_rgb(golden / "chelsea_09_03.png"))


@pytest.mark.parametrize("ratio", DISTORTIONS[9].levels)
def test_jpeg2000_file_size(chelsea, ratio):
    size = len(encode_jpeg2000(chelsea, ratio))
    assert size == pytest.approx(chelsea.size / ratio, rel=FILE_SIZE_TOLERANCE)


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
        expected = read_rgb(FULL_REFERENCE / name)
        assert largest_difference(result, expected) <= TOLERANCE[type_id], name


@pytest.mark.skipif(not FULL_REFERENCE.is_dir(), reason=f"no reference outputs at {FULL_REFERENCE}")
def test_full_reference_of_stand_ins(read_rgb):
    differences = []
    for name in full_reference_names():
        picture, type_id, level, _ = parse(name)
        if type_id not in (6, 9):
            continue
        image = read_rgb(FULL_REFERENCE / f"{picture}.png")
        reference = read_rgb(FULL_REFERENCE / name)
        if type_id == 6:
            differences.append(assert_same_quantization(image, level, reference))
        else:
            assert_same_jpeg2000(image, level, reference)
    assert len(differences) == 5
    assert np.mean(differences) < BLOCK_TOLERANCE_ON_AVERAGE


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


def test_report_has_a_line_for_every_type(golden):
    """The published table, from the reference outputs kept with the tests."""
    table = report(golden)
    rows = [line.split(" | ") for line in table.splitlines() if re.match(r"\| \d\d ", line)]
    assert [row[0] for row in rows] == [f"| {n:02d} {d.name}" for n, d in DISTORTIONS.items()]
    results = {number: row[2] for number, row in zip(DISTORTIONS, rows, strict=True)}
    assert results[3].startswith("equal bit for bit")
    assert results[4].startswith("equal bit for bit")
    assert results[7].startswith("largest difference 1,")
    assert "within 0.0" in results[9]
    assert "palettes differ by 0.0" in results[6]
    assert "mean PSNR within 0." in results[13]
    assert "noise stage" in results[15]
    assert set(KNOWN_DEVIATIONS) == set(DISTORTIONS)


def test_report_needs_reference_outputs(tmp_path):
    with pytest.raises(InputError, match="holds no reference outputs"):
        report(tmp_path)
