"""Spatial: jitter (19), non-eccentricity patch (20), pixelate (21), quantization (22), block (23).

The paper counts quantization of the grey levels among the spatial distortions.
"""

import math

import cv2
import numpy as np
from jaxtyping import Float64, Int

from distortions._matlab import MAX_8BIT, FloatImage, round_half_away, to_8bit
from distortions.otsu import BINS, otsu_thresholds

JITTER_PASSES = 5  # warps, one after the other
# Coefficient of the cubic convolution; MATLAB's. Keys, "Cubic Convolution Interpolation for Digital
# Image Processing", IEEE Trans. ASSP 29(6), 1981, doi:10.1109/TASSP.1981.1163711.
CUBIC_COEFFICIENT = -0.5
CUBIC_TAPS = 4  # pixels along an axis that a sample depends on
# Pixels around the picture such that one more pixel further out all taps see the same value.
JITTER_MARGIN = CUBIC_TAPS - 1
JITTER_BLOCK = 8192  # pixels warped at a time, so that the intermediate arrays stay in the cache

PATCH_SIDE = 16  # pixels; the squares copied by 20
PATCH_MARGIN_BEFORE = 16  # first row and column, counted from 1, where a patch may start
PATCH_MARGIN_AFTER = 32  # pixels between the last start of a patch and the far border
PATCH_REACH = 16.0  # pixels; a copy moves by half of this at most, along either axis

BLOCK_SIDE = 32  # pixels; the squares painted by 23

# Scale of `pixelate` as a function of its level: 0.95 - a^0.6.
PIXELATE_OFFSET = 0.95
PIXELATE_EXPONENT = 0.6


def jitter(image: FloatImage, shifts: Float64[np.ndarray, "passes h w 2"]) -> FloatImage:
    """Warp the picture by each field of `shifts` (rows, columns; pixels) in turn.

    A pixel becomes the sample at its position minus its shift, by cubic convolution with
    coefficient -1/2, the same for R, G and B. The border is repeated without end and nothing is
    clipped, so values may leave 0..1. (The original repeats it over a margin and has NaN beyond,
    which its shifts practically never reach.)
    """
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(image, 2, 0)]
    for field in shifts:
        planes = _warp(planes, field)
    return np.stack(planes, axis=2)


def random_jitter(image: FloatImage, amount: float, rng: np.random.Generator) -> FloatImage:
    """Apply `jitter` five times with independent normal shifts of s.d. `amount` pixels per axis."""
    return jitter(image, amount * rng.standard_normal((JITTER_PASSES, *image.shape[:2], 2)))


def _warp(
    planes: list[Float64[np.ndarray, "h w"]], shifts: Float64[np.ndarray, "h w 2"]
) -> list[Float64[np.ndarray, "h w"]]:
    """Sample all planes at each pixel's position minus its shift."""
    height, width = planes[0].shape
    padded = [
        cv2.copyMakeBorder(plane, *[JITTER_MARGIN] * 4, cv2.BORDER_REPLICATE).ravel()
        for plane in planes
    ]
    padded_width = width + 2 * JITTER_MARGIN
    warped = [np.empty_like(plane) for plane in planes]
    block = max(1, JITTER_BLOCK // width)
    for top in range(0, height, block):
        rows = slice(top, min(top + block, height))
        y = np.arange(height)[rows, None] - shifts[rows, :, 0]
        x = np.arange(width) - shifts[rows, :, 1]
        below, right = np.floor(y), np.floor(x)
        row_weights, column_weights = cubic_weights(y - below), cubic_weights(x - right)
        # Position of the first of the sixteen pixels around a sample.
        below = np.clip(below, 1 - JITTER_MARGIN, height) + (JITTER_MARGIN - 1)
        right = np.clip(right, 1 - JITTER_MARGIN, width) + (JITTER_MARGIN - 1)
        first = (below * padded_width + right).astype(np.intp)
        sums = [np.zeros(first.shape) for _ in planes]
        pixel = np.empty(first.shape)
        for i, row_weight in enumerate(row_weights):
            for j, column_weight in enumerate(column_weights):
                weight = row_weight * column_weight
                for source, total in zip(padded, sums, strict=True):
                    # All positions are inside; this mode only spares a copy.
                    source[i * padded_width + j :].take(first, out=pixel, mode="clip")
                    total += np.multiply(pixel, weight, out=pixel)
        for plane, total in zip(warped, sums, strict=True):
            plane[rows] = total
    return warped


def cubic_weights(fraction: np.ndarray) -> list[np.ndarray]:
    """Weights of cubic convolution for the pixels at -1, 0, 1 and 2, the sample at `fraction`.

    (a + 2) d^3 - (a + 3) d^2 + 1 at distances d up to 1, a (d^3 - 5 d^2 + 8 d - 4) up to 2.
    """
    a = CUBIC_COEFFICIENT

    def near(d: np.ndarray) -> np.ndarray:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: np.ndarray) -> np.ndarray:
        return a * (((d - 5) * d + 8) * d - 4)

    rest = 1 - fraction
    return [far(1 + fraction), near(fraction), near(rest), far(1 + rest)]


def non_eccentricity_patch(
    image: FloatImage, sources: Int[np.ndarray, "n 2"], targets: Int[np.ndarray, "n 2"]
) -> FloatImage:
    """Copy squares of 16 pixels from `sources` to `targets`, top-left (row, column), in order.

    A later copy reads what the earlier ones have written.
    """
    result = image.copy()
    height, width = (min(PATCH_SIDE, side) for side in image.shape[:2])
    for (row, column), (to_row, to_column) in zip(sources, targets, strict=True):
        # The two squares may overlap, so the source is taken out before it is written.
        patch = result[row : row + height, column : column + width].copy()
        result[to_row : to_row + height, to_column : to_column + width] = patch
    return result


def random_non_eccentricity_patch(
    image: FloatImage, count: float, rng: np.random.Generator
) -> FloatImage:
    """Apply `non_eccentricity_patch` to `count` random squares, each moved by up to 8 pixels."""
    return non_eccentricity_patch(image, *draw_patches(image.shape[:2], int(count), rng))


def draw_patches(
    size: tuple[int, ...], count: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "n 2"], Int[np.ndarray, "n 2"]]:
    """Draw the top-left corners (row, column) of `count` squares and of their copies.

    Per axis, a square starts at a uniform position, rounded, from 16 (counted from 1) to the
    side minus 32, and its copy at most 8 pixels away, so no copy leaves the picture. An axis
    shorter than 48 pixels has no such range; there any position that fits is allowed.
    """
    sides = np.array(size)
    last = np.maximum(sides - PATCH_SIDE + 1, 1)
    low, high = np.full(2, PATCH_MARGIN_BEFORE), sides - PATCH_MARGIN_AFTER
    low, high = np.where(high < low, 1, low), np.where(high < low, last, high)
    draws = rng.random((count, 2, 2))
    sources = round_half_away(low + draws[:, 0] * (high - low))
    targets = round_half_away(PATCH_REACH * (draws[:, 1] - 0.5) + sources)
    targets = np.clip(targets, 1, last)
    return sources.astype(np.int64) - 1, targets.astype(np.int64) - 1


def pixelate(image: FloatImage, amount: float) -> FloatImage:
    """Scale down by 0.95 - amount^0.6 and back to the original size, both by nearest neighbour.

    The small picture has ceil(scale H) x ceil(scale W) pixels. Indices are MATLAB's `imresize`:
    centres of pixels aligned, halves rounded up.
    """
    scale = PIXELATE_OFFSET - amount**PIXELATE_EXPONENT
    rows, columns = (_pixelate_indices(side, scale) for side in image.shape[:2])
    return image[rows[:, None], columns]


def _pixelate_indices(side: int, scale: float) -> Int[np.ndarray, " side"]:
    """Index into the original of each pixel of the pixelated axis."""
    small = math.ceil(scale * side)
    down = _nearest_indices(side, small, scale)
    return down[_nearest_indices(small, side, side / small)]


def _nearest_indices(old: int, new: int, scale: float) -> Int[np.ndarray, " new"]:
    """Index, from 0, of the input pixel nearest to each output pixel of a resized axis."""
    positions = np.arange(1, new + 1) / scale + 0.5 * (1 - 1 / scale)
    return np.clip(np.floor(positions + 0.5).astype(np.int64), 1, old) - 1


def quantization(image: FloatImage, count: float) -> FloatImage:
    """Set every sample to the smallest of `count` thresholds that is not below it.

    The thresholds are those of `otsu_thresholds` for the 8-bit histogram of R, G and B together.
    Samples up to the first threshold become 0, those above the last become 1. A picture with no
    more grey levels than thresholds is kept: each level would be a threshold of its own.
    """
    histogram = np.bincount(to_8bit(image).ravel(), minlength=BINS)
    if np.count_nonzero(histogram) <= count:
        return image.copy()
    thresholds = otsu_thresholds(histogram, int(count)) / MAX_8BIT
    values = np.array([0.0, *thresholds[1:], 1.0])
    return values[np.searchsorted(thresholds, image)]


def color_block(
    image: FloatImage, corners: Int[np.ndarray, "n 2"], colors: Float64[np.ndarray, "n 3"]
) -> FloatImage:
    """Paint opaque squares of 32 pixels of RGB `colors` (0..1) at top-left (row, column) `corners`.

    A corner may be -1: the square then loses its first row or column.
    """
    result = image.copy()
    for (row, column), color in zip(corners, colors, strict=True):
        rows = slice(max(row, 0), max(row + BLOCK_SIDE, 0))
        columns = slice(max(column, 0), max(column + BLOCK_SIDE, 0))
        result[rows, columns] = color
    return result


def random_color_block(image: FloatImage, count: float, rng: np.random.Generator) -> FloatImage:
    """Apply `color_block` with `count` squares of random position and colour."""
    return color_block(image, *draw_blocks(image.shape[:2], int(count), rng))


def draw_blocks(
    size: tuple[int, ...], count: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "n 2"], Float64[np.ndarray, "n 3"]]:
    """Draw the top-left corners (row, column) and the RGB colours of `count` squares.

    A corner, counted from 1, is uniform from 0 to the side minus 32 and then rounded; a colour is
    uniform in 0..1 per channel. In a picture smaller than a square, a square starts at its border.
    """
    room = np.maximum(np.array(size) - BLOCK_SIDE, 0)
    corners = round_half_away(rng.random((count, 2)) * room).astype(np.int64) - 1
    return corners, rng.random((count, 3))
