"""SFF against NumPy written from its docstring, its matrix, and the authors' numbers."""

import csv
import json
import os
import pickle
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.stats import spearmanr

from fr_metrics import METRICS, score
from fr_metrics.sff import MATRIX, load_matrix, sff

SHARED = Path(__file__).resolve().parents[3] / "shared"
ALL_PICTURES = Path(os.environ.get("DEEPFL_GOLDEN_METRICS") or SHARED / "golden" / "metrics")
AUTHORS_MATRIX = Path(
    os.environ.get("DEEPFL_SFF_AUTHORS_MATRIX") or SHARED / "data" / "sff_authors_matrix.npy"
)
VERSIONS = ("blur_4", "noise_2", "jpeg_4", "colour_4", "pixelate_4")
PAIRS = [
    *(("coffeeodd", f"coffeeodd_{name}") for name in VERSIONS),
    ("chelsea", "chelsea_quant_3"),
]


def expected_sff(reference, distorted, matrix):
    rows, columns = ((size - 1) // 8 for size in reference.shape[:2])

    def tiles(image):
        cut = image[: 8 * rows, : 8 * columns].astype(float).reshape(rows, 8, columns, 8, 3)
        vectors = cut.transpose(0, 2, 4, 3, 1).reshape(-1, 192)
        means = vectors.sum(1) / 192
        return vectors - means[:, None], means

    (x1, m1), (x2, m2) = tiles(reference), tiles(distorted)
    change = np.abs(x1 - x2).mean(1)
    a, b = (x[change >= np.median(change)] @ matrix.T for x in (x1, x2))
    energy = (a**2).sum(1)
    a, b = (each[energy > 0.4 * energy.mean()] for each in (a, b))
    fidelity = ((2 * a * b + 0.08) / (a**2 + b**2 + 0.08)).mean()
    shifted = np.abs(m1 - m2) >= np.median(np.abs(m1 - m2))
    d1, d2 = (m[shifted] - m[shifted].mean() for m in (m1, m2))
    correlation = ((d1 * d2).sum() + 0.001) / (np.sqrt((d1**2).sum() * (d2**2).sum()) + 0.001)
    return 0.8 * correlation + 0.2 * fidelity


@pytest.mark.parametrize(("reference", "distorted"), PAIRS)
def test_it_is_what_its_docstring_says(reference, distorted, golden_picture):
    pair = golden_picture(reference), golden_picture(distorted)
    before = [each.copy() for each in pair]
    expected = expected_sff(*pair, load_matrix())
    single = float(score("sff", *pair))
    with jax.enable_x64(True):
        double = float(score("sff", *pair))
    assert all(np.array_equal(a, b) for a, b in zip(before, pair, strict=True))
    assert double == pytest.approx(expected, abs=1e-12)
    assert single == pytest.approx(expected, abs=2e-6)


def test_ties_are_decided_as_in_double_precision(golden_picture):
    # Most tiles change by exactly as much as each other; rounding errors tell them apart.
    reference = golden_picture("coffeeodd")
    for shift in (7, 20):
        brighter = np.minimum(reference.astype(int) + shift, 255).astype(np.uint8)
        expected = expected_sff(reference, brighter, load_matrix())
        assert float(score("sff", reference, brighter)) == pytest.approx(expected, abs=2e-6)


def test_sign_and_order_of_the_rows_do_not_matter(crops, hasty_jit):
    reference, distorted = crops[0][None], crops[1]
    matrix = load_matrix()
    turned = -matrix[::-1]
    ours, same, other = (
        hasty_jit(partial(sff, matrix=each))(reference, distorted)
        for each in (matrix, turned, 0.1 * matrix)
    )
    np.testing.assert_allclose(same, ours, rtol=0, atol=1e-6)
    assert not np.allclose(other, ours, rtol=0, atol=1e-3)


def test_tiles_that_end_with_the_image_are_left_out(golden_picture):
    reference, distorted = (golden_picture(name)[:64, :80] for name in PAIRS[1])
    changed = distorted.copy()
    changed[56:], changed[:, 72:] = 0, 255
    assert float(score("sff", reference, changed)) == float(score("sff", reference, distorted))
    changed[55, 71] ^= 255
    assert float(score("sff", reference, changed)) != float(score("sff", reference, distorted))


def test_pictures_of_one_gray_level_each_score_1_and_of_one_colour_less():
    black = np.zeros((64, 80, 3), np.uint8)
    for other in (black, black + 120, black + 255):
        assert float(score("sff", black, other)) == pytest.approx(1.0, abs=1e-6)
    red = black + np.array([200, 30, 7], np.uint8)
    assert 0.8 < float(score("sff", black, red)) < 0.99


def test_the_matrix_of_the_package_and_its_record():
    matrix = load_matrix()
    assert matrix.shape == (8, 192)
    assert not matrix.flags.writeable
    lengths = np.linalg.norm(matrix, axis=1)
    assert (np.diff(lengths) <= 0).all()
    # Patches had their means removed, so a tile's mean has no influence.
    assert np.abs(matrix.sum(1)).max() < 1e-12
    record = json.loads(MATRIX.with_suffix(".json").read_text())
    assert record["patches"] == 18_000
    assert record["compared_with_the_authors_matrix"]["srocc"] >= 0.995
    assert not METRICS["sff"].verified


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((192, 8)), r"must have shape \(8, 192\).* got \(192, 8\)"),
        (np.full((8, 192), np.inf), "must hold finite floating-point numbers"),
        (np.zeros((8, 192), int), "must hold finite floating-point numbers, got int64"),
    ],
)
def test_a_matrix_of_another_kind_is_refused(array, words, tmp_path, crops):
    np.save(tmp_path / "matrix.npy", array)
    with pytest.raises(ValueError, match=f"matrix.npy: {words}"):
        load_matrix(tmp_path / "matrix.npy")
    with pytest.raises(ValueError, match=f"the matrix: {words}"):
        sff(crops[0][None], crops[1], matrix=array)


def test_a_file_that_is_no_matrix_is_refused(tmp_path):
    path = tmp_path / "matrix.npy"
    with pytest.raises(FileNotFoundError):
        load_matrix(path)
    np.save(path, np.array([[None]]), allow_pickle=True)
    for data in (path.read_bytes(), pickle.dumps([1.0]), b"", MATRIX.read_bytes()[:500]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"matrix\.npy: is not an .npy file of numbers"):
            load_matrix(path)


@pytest.mark.skipif(
    not (AUTHORS_MATRIX.is_file() and (ALL_PICTURES / "scores.csv").is_file()),
    reason="the authors' matrix and the full set of golden pictures are not here"
    " (DEEPFL_SFF_AUTHORS_MATRIX names the file, DEEPFL_GOLDEN_METRICS the folder)",
)
def test_the_authors_numbers_with_their_matrix_and_nearly_their_order_with_ours(picture_reader):
    authors = jax.jit(partial(sff, matrix=load_matrix(AUTHORS_MATRIX)))
    with (ALL_PICTURES / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [float(row["sff"]) for row in rows]
    double, single, ours = [], [], []
    for row in rows:
        pair = [
            picture_reader(ALL_PICTURES / "images" / f"{row[role]}.png")[None]
            for role in ("ref", "dist")
        ]
        single.append(float(authors(*pair)[0]))
        ours.append(float(score("sff", *pair)[0]))  # as compiled for the tests above
        with jax.enable_x64(True):
            double.append(float(authors(*pair)[0]))
    np.testing.assert_allclose(double, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(single, double, rtol=0, atol=2e-5)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=0.01)
    assert spearmanr(ours, expected)[0] >= 0.995
