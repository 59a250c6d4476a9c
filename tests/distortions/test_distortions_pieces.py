"""The parts distortions are made of, against what their definitions say."""

import numpy as np
import pytest
from skimage.color import rgb2lab, rgb2ycbcr

from distortions import distort
from distortions._matlab import (
    gaussian_filter,
    gaussian_kernel,
    lab_to_rgb,
    rescale,
    rgb_to_gray,
    rgb_to_lab,
    rgb_to_ycbcr,
    round_half_away,
    to_8bit,
    ycbcr_to_rgb,
)
from distortions.blur import disk_kernel, motion_kernel
from distortions.brightness import brighten, darken, mean_shift, tone_curve
from distortions.color import (
    color_saturation_hsv,
    color_saturation_lab,
    color_shift,
    edge_map,
)
from distortions.compression import encode_jpeg2000, jpeg2000
from distortions.sharpness import contrast_change, high_sharpen
from distortions.spatial import (
    color_block,
    cubic_weights,
    jitter,
    non_eccentricity_patch,
    pixelate,
)

PICTURE = np.random.default_rng(0).random((24, 30, 3))


def test_round_half_away():
    values = np.array([-2.5, -0.5, -0.4, 0.5, 1.5, 2.5, 2.4])
    assert round_half_away(values).tolist() == [-3, -1, 0, 1, 2, 3, 2]


def test_rescale():
    assert rescale(np.array([2.0, 3.0, 6.0])).tolist() == [0.0, 0.25, 1.0]
    flat = np.array([0.3, 0.3 + 1e-15])
    assert rescale(flat) is flat


def test_to_8bit_rounds_halves_up_and_clips():
    values = np.array([-0.1, 0.5 / 255, 1.5 / 255, 127.5 / 255, 1.0, 1.1])
    assert to_8bit(values).tolist() == [0, 1, 2, 128, 255, 255]


def test_gaussian_side_and_sum():
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1.0
    response = gaussian_filter(impulse, 2.2)
    assert np.flatnonzero(response[20]).tolist() == list(range(15, 26))
    assert response.sum() == pytest.approx(1.0)
    assert gaussian_kernel(13, 3.0).sum() == pytest.approx(1.0)


def test_lab_matches_scikit_image():
    # Its matrix and white point have other last digits.
    np.testing.assert_allclose(rgb_to_lab(PICTURE), rgb2lab(PICTURE), rtol=0, atol=0.02)


def test_lab_round_trip():
    np.testing.assert_allclose(lab_to_rgb(rgb_to_lab(PICTURE)), PICTURE, rtol=0, atol=1e-12)


def test_greys_have_no_chroma():
    gray = np.linspace(0, 1, 256)[:, None, None].repeat(3, axis=2)
    lab = rgb_to_lab(gray)
    assert np.abs(lab[..., 1:]).max() < 1e-10
    assert lab[0, 0, 0] == pytest.approx(0, abs=1e-10)
    assert lab[-1, 0, 0] == pytest.approx(100)


def test_lab_of_colours_outside_rgb_stays_finite():
    lab = np.array([[[200.0, 900.0, -900.0], [-60.0, 0.0, 300.0]]])
    assert np.isfinite(lab_to_rgb(lab)).all()


def test_ycbcr_matches_scikit_image():
    np.testing.assert_allclose(rgb_to_ycbcr(PICTURE) * 255, rgb2ycbcr(PICTURE), atol=1e-9)
    np.testing.assert_allclose(ycbcr_to_rgb(rgb_to_ycbcr(PICTURE)), PICTURE, atol=1e-12)


def test_gray_weights():
    gray = rgb_to_gray(np.eye(3)[None])
    np.testing.assert_allclose(gray[0], [0.298936, 0.587043, 0.114021], atol=1e-6)


@pytest.mark.parametrize("radius", [0.3, 0.5, 1, 2.7, 8])
def test_disk_is_a_symmetric_average(radius):
    kernel = disk_kernel(radius)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-15)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-15)
    if radius >= 1:
        centre = kernel[len(kernel) // 2, len(kernel) // 2]
        assert centre == pytest.approx(1 / (np.pi * radius**2))


@pytest.mark.parametrize("angle", range(0, 181, 12))
def test_motion_kernel_is_a_mirrored_average(angle):
    kernel = motion_kernel(10, angle)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-15)
    opposite = motion_kernel(10, 180 - angle)
    np.testing.assert_allclose(kernel, opposite[:, ::-1], atol=1e-12)


def test_tone_curve_knots():
    x = np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(tone_curve(x, 0.7), [0.0, 0.7, 1.0], atol=1e-15)
    np.testing.assert_allclose(tone_curve(PICTURE, 0.5), PICTURE, atol=1e-15)


def test_neutral_amounts():
    for neutral in (
        brighten(PICTURE, 0.0),
        darken(PICTURE, 0.0),
        mean_shift(PICTURE, 0.0),
        contrast_change(PICTURE, -0.2),
        color_saturation_hsv(PICTURE, 1.0),
        color_saturation_lab(PICTURE, 1.0),
        high_sharpen(PICTURE, 0.0),
        color_shift(PICTURE, (0, 0)),
    ):
        np.testing.assert_allclose(neutral, PICTURE, rtol=0, atol=1e-12)


def test_brighter_and_darker():
    assert (brighten(PICTURE, 0.4) >= PICTURE).all()
    assert (darken(PICTURE, 0.4) <= PICTURE).all()


def test_contrast_knots():
    amount = 0.3
    x = np.array([0.0, 0.3, 0.5, 0.7, 1.0])
    expected = [0.0, 0.25 - amount / 4, 0.5, 0.75 + amount / 4, 1.0]
    np.testing.assert_allclose(contrast_change(x, amount), expected, atol=1e-12)


def test_hsv_saturation_keeps_value():
    result = color_saturation_hsv(PICTURE, 0.2)
    np.testing.assert_allclose(result.max(axis=2), PICTURE.max(axis=2))
    assert (color_saturation_hsv(PICTURE, 0.0) == PICTURE.max(axis=2, keepdims=True)).all()


def test_color_shift_moves_green_down_right_near_edges():
    image = np.zeros((64, 64, 3))
    image[24:40, 24:40] = 1.0
    shifted = color_shift(image, (5, 3))
    np.testing.assert_array_equal(shifted[..., [0, 2]], image[..., [0, 2]])
    rows, columns = np.nonzero(shifted[..., 1] > 0.5 * edge_map(image))
    assert (rows.max(), columns.max()) == (44, 42)


def test_pixelate_repeats_samples_of_the_picture():
    result = pixelate(PICTURE, 0.5)
    # ceil(0.2902 x 24) and ceil(0.2902 x 30) distinct rows and columns.
    assert len(np.unique(result[:, 0], axis=0)) == 7
    assert len(np.unique(result[0], axis=0)) == 9
    assert {tuple(p) for p in result.reshape(-1, 3)} <= {tuple(p) for p in PICTURE.reshape(-1, 3)}


def cubic(d: float) -> float:
    """Keys's kernel with a = -1/2."""
    d = abs(d)
    if d <= 1:
        return 1.5 * d**3 - 2.5 * d**2 + 1
    return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0


def test_cubic_weights():
    fraction = np.linspace(0, 1, 21)
    weights = cubic_weights(fraction)
    for weight, pixel in zip(weights, (-1, 0, 1, 2), strict=True):
        np.testing.assert_allclose(weight, [cubic(f - pixel) for f in fraction], atol=1e-14)
    np.testing.assert_allclose(sum(weights), 1.0, atol=1e-14)


def test_jitter_is_cubic_convolution_pixel_by_pixel():
    image = PICTURE[:7, :9]
    shifts = 2.5 * np.random.default_rng(1).standard_normal((2, 7, 9, 2))
    expected = image
    for field in shifts:
        padded = np.pad(expected, [(40, 40), (40, 40), (0, 0)], mode="edge")
        expected = np.empty_like(image)
        for y, x in np.ndindex(7, 9):
            at_y, at_x = y - field[y, x, 0], x - field[y, x, 1]
            expected[y, x] = sum(
                cubic(at_y - row) * cubic(at_x - column) * padded[row + 40, column + 40]
                for row in range(int(at_y) - 3, int(at_y) + 4)
                for column in range(int(at_x) - 3, int(at_x) + 4)
            )
    np.testing.assert_allclose(jitter(image, shifts), expected, rtol=0, atol=1e-13)


def test_jitter_by_whole_pixels_moves_them_and_repeats_the_border():
    shifts = np.zeros((1, 24, 30, 2))
    shifts[..., 0], shifts[..., 1] = 2.0, -1000.0
    expected = np.pad(PICTURE, [(2, 0), (0, 0), (0, 0)], mode="edge")[:24, -1:].repeat(30, axis=1)
    np.testing.assert_allclose(jitter(PICTURE, shifts), expected, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(jitter(PICTURE, np.zeros((5, 24, 30, 2))), PICTURE)


def test_jitter_of_a_wide_and_a_tall_picture():
    for image in (PICTURE.reshape(1, -1, 3), PICTURE.reshape(-1, 1, 3)):
        wide = np.tile(image, (1, 30, 1)) if image.shape[0] == 1 else np.tile(image, (30, 1, 1))
        shifts = np.full((1, *wide.shape[:2], 2), 0.0)
        np.testing.assert_array_equal(jitter(wide, shifts), wide)


def test_jpeg2000_keeps_a_constant_picture():
    for value in (24, 40, 161):
        image = np.full((96, 128, 3), value / 255)
        np.testing.assert_array_equal(jpeg2000(image, 400), image)


def test_jpeg2000_uses_the_wavelet_levels_that_fit():
    for shape, expected in (((1, 9), 0), ((2, 60), 1), ((7, 9), 2), ((31, 40), 4), ((64, 64), 5)):
        pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        file = encode_jpeg2000(pixels, 16)
        # COD marker: length, style, progression, layers, colour transform, then decompositions;
        # the wavelet, 0 for the irreversible one, is four bytes further.
        start = file.index(b"\xff\x52")
        assert int.from_bytes(file[start + 6 : start + 8], "big") == 1
        assert file[start + 8] == 1
        assert file[start + 9] == expected
        assert file[start + 13] == 0


def test_later_patches_read_earlier_ones():
    image = np.arange(60 * 60 * 3, dtype=float).reshape(60, 60, 3)
    sources, targets = np.array([[0, 0], [20, 20]]), np.array([[20, 20], [40, 40]])
    result = non_eccentricity_patch(image, sources, targets)
    np.testing.assert_array_equal(result[40:56, 40:56], image[:16, :16])
    overlapping = non_eccentricity_patch(image, np.array([[10, 10]]), np.array([[12, 13]]))
    np.testing.assert_array_equal(overlapping[12:28, 13:29], image[10:26, 10:26])


def test_block_cut_by_the_border():
    image = np.zeros((40, 50, 3))
    result = color_block(image, np.array([[-1, 5]]), np.array([[0.1, 0.2, 0.3]]))
    covered = np.zeros((40, 50), dtype=bool)
    covered[:31, 5:37] = True
    np.testing.assert_array_equal(result[covered], [[0.1, 0.2, 0.3]] * covered.sum())
    assert not result[~covered].any()


def test_stretch_is_part_of_every_distortion(chelsea):
    dull = (chelsea // 2 + 40).astype(np.uint8)
    stretched = to_8bit(rescale(dull.astype(float)))
    # A Gaussian of 0.1 pixel and an offset of 0 change nothing else.
    np.testing.assert_array_equal(distort(dull, "gaussian_blur", 1), stretched)
    np.testing.assert_array_equal(distort(dull, "mean_shift", 3), stretched)


def test_positive_mean_shift_only_clips_highlights():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    expected = to_8bit(np.minimum(image / 255 / (1 - 0.15), 1.0))
    assert np.abs(distort(image, "mean_shift", 1).astype(int) - expected).max() <= 1
    assert distort(image, "mean_shift", 1).min() == 0
