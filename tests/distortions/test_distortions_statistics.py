"""Random types: statistics of the reference runs, and the closed forms behind them."""

import json

import numpy as np
import pytest

from distortions import DISTORTIONS, distort
from distortions._matlab import rescale, to_8bit
from distortions.blur import draw_angle
from distortions.color import draw_offset
from distortions.noise import (
    random_impulse_noise,
    random_multiplicative_noise,
    random_white_noise,
    random_white_noise_ycbcr,
)
from distortions.spatial import draw_blocks, draw_patches, random_jitter

SEEDS = range(5)
NOISES = (11, 12, 13, 14)
SIZE = (384, 512)  # rows, columns
SEEDS_OF_REFERENCE = 5
STANDARD_ERRORS = 4.0  # allowed between our mean over seeds and the reference's


@pytest.fixture(scope="module")
def reference(golden):
    return json.loads((golden / "chelsea_random_stats.json").read_text())


@pytest.fixture(scope="module")
def stretched(chelsea):
    return to_8bit(rescale(chelsea.astype(np.float64))).astype(float)


def differences(chelsea, stretched, number, level):
    return [distort(chelsea, number, level, seed=seed) - stretched for seed in SEEDS]


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("number", NOISES)
def test_noise_has_the_reference_moments(chelsea, stretched, reference, number, level):
    expected = reference[f"t{number}_l{level:02d}"]
    found = differences(chelsea, stretched, number, level)
    assert_moments(found, expected)
    changed = np.mean([(d != 0).any(axis=2).mean() for d in found])
    assert changed == pytest.approx(expected["frac_changed_pixels"], abs=1e-3)
    d = np.mean([np.corrcoef(d[:, :-1].ravel(), d[:, 1:].ravel())[0, 1] for d in found])
    assert d == pytest.approx(expected["corr_lag1_x"], abs=5e-3)


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_jitter_has_the_reference_moments(chelsea, stretched, reference, level):
    expected = reference[f"t19_l{level:02d}"]
    assert_moments(differences(chelsea, stretched, 19, level), expected)


def assert_moments(found, expected):
    """Compare mean and variance per channel, averaged over seeds, with the reference's."""
    for moment, key in ((np.mean, "mean"), (np.var, "var")):
        average = np.mean([moment(d, axis=(0, 1)) for d in found], axis=0)
        error = np.abs(average - expected[f"{key}_diff_rgb"])
        # Five seeds can agree by luck, so ours count as well when they spread more.
        ours = np.std([moment(d, axis=(0, 1)) for d in found], axis=0, ddof=1)
        spread = np.maximum(expected[f"{key}_diff_sd_over_seeds"], ours)
        allowed = STANDARD_ERRORS * spread * np.sqrt(1 / len(SEEDS) + 1 / SEEDS_OF_REFERENCE)
        assert (error <= allowed).all()


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("number", [5, 19, 20, 23])
def test_geometric_types_have_the_reference_psnr(chelsea, stretched, reference, number, level):
    expected = reference[f"t{number:02d}_l{level:02d}"]
    spread = expected["psnr_max"] - expected["psnr_min"]
    for d in differences(chelsea, stretched, number, level):
        psnr = 10 * np.log10(255**2 / np.mean(d**2))
        assert expected["psnr_min"] - spread <= psnr <= expected["psnr_max"] + spread


@pytest.mark.parametrize("amount", DISTORTIONS[11].levels)
def test_white_noise_variance(amount):
    image = np.full((*SIZE, 3), 0.5)
    d = random_white_noise(image, amount, np.random.default_rng(0)) - image
    assert d.var() == pytest.approx(amount, rel=0.01)
    assert np.abs(np.corrcoef(d.reshape(-1, 3).T) - np.eye(3)).max() < 0.01


@pytest.mark.parametrize("amount", DISTORTIONS[12].levels)
def test_ycbcr_noise_variance(amount):
    image = np.full((*SIZE, 3), 0.5)
    d = random_white_noise_ycbcr(image, amount, np.random.default_rng(0)) - image
    np.testing.assert_allclose(d.var(axis=(0, 1)) / amount, [3.90, 2.17, 5.42], rtol=0.01)


@pytest.mark.parametrize("amount", DISTORTIONS[13].levels)
def test_impulse_noise_share(amount):
    image = np.full((*SIZE, 3), 0.5)
    result = random_impulse_noise(image, amount, np.random.default_rng(0))
    for value in (0.0, 1.0):
        assert (result == value).mean() == pytest.approx(amount / 2, rel=0.1)
    assert ((result == 0) | (result == 1) | (result == 0.5)).all()


@pytest.mark.parametrize("amount", DISTORTIONS[14].levels)
@pytest.mark.parametrize("gray", [0.2, 0.5])
def test_multiplicative_noise_is_uniform(amount, gray):
    image = np.full((*SIZE, 3), gray)
    d = random_multiplicative_noise(image, amount, np.random.default_rng(0)) - image
    assert d.var() == pytest.approx(amount * gray**2, rel=0.01)
    assert np.abs(d).max() <= np.sqrt(3 * amount) * gray


def test_patches_change_no_more_than_they_cover():
    image = np.random.default_rng(0).random((*SIZE, 3))
    for number, area in ((20, 16**2), (23, 32**2)):
        row = DISTORTIONS[number]
        for amount in row.levels:
            result = row.apply(image, amount, np.random.default_rng(1))
            changed = (result != image).any(axis=2).sum()
            assert 0.4 * amount * area <= changed <= amount * area


def test_patches_stay_inside_and_move_at_most_eight_pixels():
    sources, targets = draw_patches(SIZE, 20000, np.random.default_rng(0))
    assert sources.min(axis=0).tolist() == [15, 15]
    assert sources.max(axis=0).tolist() == [SIZE[0] - 33, SIZE[1] - 33]
    moved = targets - sources
    assert (moved.min(), moved.max()) == (-8, 8)
    # The end values come from half an interval each.
    share = (moved == 8).mean() / (moved == 0).mean()
    assert share == pytest.approx(0.5, abs=0.1)


def test_jitter_shifts_are_normal_and_fresh_in_every_pass():
    # On a slope of one per row or column a warp adds minus its shift, as does each after it.
    rows, columns = np.mgrid[:100, :120].astype(float)
    image = np.stack([rows, columns, rows], axis=2)
    for amount in DISTORTIONS[19].levels:
        result = random_jitter(image, amount, np.random.default_rng(0))
        moved = (result - image)[12:-12, 12:-12]
        np.testing.assert_array_equal(moved[..., 0], moved[..., 2])
        assert np.abs(moved.mean(axis=(0, 1))).max() < 0.1 * amount
        # Five independent shifts, less what the cubic averages of them where it falls between.
        assert (moved.std(axis=(0, 1)) < np.sqrt(5.2) * amount).all()
        assert (moved.std(axis=(0, 1)) > np.sqrt(2.5) * amount).all()
        assert abs(np.corrcoef(moved[..., 0].ravel(), moved[..., 1].ravel())[0, 1]) < 0.05


def test_blocks_start_inside_the_picture():
    corners, colors = draw_blocks(SIZE, 50000, np.random.default_rng(0))
    assert corners.min(axis=0).tolist() == [-1, -1]
    assert corners.max(axis=0).tolist() == [SIZE[0] - 33, SIZE[1] - 33]
    assert 0 <= colors.min() < 0.01
    assert 0.99 < colors.max() < 1


def test_angles_are_whole_degrees_from_0_to_180():
    rng = np.random.default_rng(0)
    assert {draw_angle(rng) for _ in range(5000)} == set(range(181))


def test_color_shift_goes_down_and_right_by_its_length():
    rng = np.random.default_rng(0)
    offsets = np.array([draw_offset(12, rng) for _ in range(2000)])
    assert offsets.min() == 0
    assert offsets.max() == 12
    assert np.abs(np.hypot(*offsets.T) - 12).max() < 0.8
