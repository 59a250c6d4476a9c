"""Palette and dithering of 06 against slow implementations of their definitions."""

import itertools

import numpy as np
import pytest
from skimage.color import rgb2gray

from distortions._matlab import rescale, to_8bit
from distortions.color import color_quantization
from distortions.palette import BIN_SIDE, floyd_steinberg, nearest_colors, wu_palette

NOISE = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)


def dither_slowly(image: np.ndarray, palette: np.ndarray, *, as_reference: bool) -> np.ndarray:
    """Floyd-Steinberg pixel by pixel; the reference neither clips nor looks colours up in bins."""
    height, width = image.shape[:2]
    nearest = nearest_colors(palette).reshape(32, 32, 32)
    handed_on = np.zeros((height + 1, width + 2, 3))
    indices = np.empty((height, width), dtype=np.uint8)
    for y, x in itertools.product(range(height), range(width)):
        value = image[y, x] + handed_on[y, x + 1]
        if as_reference:
            index = ((value - palette) ** 2).sum(axis=1).argmin()
        else:
            value = np.clip(value, 0, 255)
            index = nearest[tuple(value.astype(int) // BIN_SIDE)]
        error = value - palette[index]
        handed_on[y, x + 2] += error * 7 / 16
        handed_on[y + 1, x] += error * 3 / 16
        handed_on[y + 1, x + 1] += error * 5 / 16
        handed_on[y + 1, x + 2] += error * 1 / 16
        indices[y, x] = index
    return indices


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (7, 9), (24, 31)]
)
def test_dithering_is_that_of_a_loop_over_pixels(shape):
    image = NOISE[: shape[0], : shape[1]]
    for count in (1, 2, 5, 20):
        palette = wu_palette(image, count)
        expected = dither_slowly(image, palette, as_reference=False)
        np.testing.assert_array_equal(floyd_steinberg(image, palette), expected)


def test_dithering_of_a_photograph(chelsea):
    crop = chelsea[100:160, 200:290]
    palette = wu_palette(crop, 16)
    expected = dither_slowly(crop, palette, as_reference=False)
    np.testing.assert_array_equal(floyd_steinberg(crop, palette), expected)


def test_reference_without_clipping_and_bins_is_bit_exact(golden, read_rgb, chelsea):
    """The known differences to the reference output are the only ones."""
    rows = 48
    pixels = to_8bit(rescale(chelsea.astype(float)))
    palette = wu_palette(pixels, 8)
    indices = dither_slowly(pixels[:rows], palette, as_reference=True)
    expected = read_rgb(golden / "chelsea_06_05.png")[:rows]
    np.testing.assert_array_equal(to_8bit(rescale(palette))[indices], expected)


def test_dithering_keeps_the_local_mean():
    image = np.full((64, 64, 3), 100, dtype=np.uint8)
    palette = np.array([[0.0] * 3, [255.0] * 3])
    result = palette[floyd_steinberg(image, palette)]
    assert result.mean() == pytest.approx(100, abs=1)
    np.testing.assert_allclose(result.reshape(4, 16, 4, 16, 3).mean(axis=(1, 3)), 100, atol=4)


def test_nearest_colors():
    palette = wu_palette(NOISE, 17)
    centres = np.stack(np.mgrid[:32, :32, :32], axis=-1).reshape(-1, 3) * 8 + 4
    distances = ((centres[:, None] - palette) ** 2).sum(axis=2)
    np.testing.assert_array_equal(nearest_colors(palette), distances.argmin(axis=1))


def squared_error(colors: np.ndarray) -> float:
    return ((colors - colors.mean(axis=0)) ** 2).sum()


def palette_by_trial(colors: np.ndarray, count: int) -> np.ndarray:
    """Wu's splits, every cut tried on the pixels themselves."""
    boxes = [colors.astype(float)]
    while len(boxes) < count:
        worst = max(range(len(boxes)), key=lambda i: squared_error(boxes[i]))
        box, cuts = boxes[worst], []
        for axis, position in itertools.product(range(3), range(1, 32)):
            below = box[:, axis] < position * BIN_SIDE
            if below.any() and not below.all():
                error = squared_error(box[below]) + squared_error(box[~below])
                cuts.append((round(error, 6), axis, position, below))
        below = min(cuts, key=lambda cut: cut[:3])[3]
        boxes[worst : worst + 1] = [box[below], box[~below]]
    return np.floor(np.array([box.mean(axis=0) for box in boxes]) + 0.5)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
def test_palette_is_that_of_trying_every_cut(chelsea, count):
    for image in (NOISE, chelsea[150:180, 200:240]):
        expected = palette_by_trial(image.reshape(-1, 3), count)
        found = wu_palette(image, count)
        assert {tuple(c) for c in found} == {tuple(c) for c in expected}


def test_two_colors_split_where_a_full_search_splits():
    gray = np.array([10, 12, 30, 200, 210, 250], dtype=np.uint8)
    image = gray[None, :, None].repeat(3, axis=2)
    best = min(
        range(1, len(gray)), key=lambda n: np.var(gray[:n]) * n + np.var(gray[n:]) * (len(gray) - n)
    )
    assert best == 3
    np.testing.assert_array_equal(wu_palette(image, 2)[:, 0], [17, 220])


def test_palette_of_few_bins_has_a_color_for_each():
    image = np.array([[[0, 0, 0], [7, 7, 7], [8, 8, 8], [255, 0, 8]]], dtype=np.uint8)
    palette = wu_palette(image, 64)
    assert {tuple(c) for c in palette} == {(4, 4, 4), (8, 8, 8), (255, 0, 8)}


@pytest.mark.parametrize("count", [64, 48, 32, 16, 8])
def test_number_of_colors(chelsea, count):
    for image in (chelsea, chelsea[::3, ::2]):
        result = color_quantization(image / 255, count)
        assert len(np.unique(result.reshape(-1, 3), axis=0)) == count


def test_a_picture_of_few_distant_colors_is_kept():
    image = np.array([0, 64, 128, 255])[NOISE // 64] / 255
    few = image.copy()
    few[..., 1:] = few[..., :1]
    np.testing.assert_array_equal(color_quantization(few, 8), few)


def test_grays_stay_gray(chelsea):
    gray = np.round(255 * rgb2gray(chelsea)) / 255
    result = color_quantization(np.repeat(gray[..., None], 3, axis=2), 16)
    np.testing.assert_array_equal(result, result[..., :1].repeat(3, axis=2))
