"""Colour: diffusion (04), shift (05), quantization (06), saturation in HSV (07) and Lab (08)."""

import numpy as np
from jaxtyping import Float64

from distortions._matlab import (
    MAX_8BIT,
    FloatImage,
    gaussian_filter,
    lab_to_rgb,
    rescale,
    rgb_to_gray,
    rgb_to_lab,
    round_half_away,
    to_8bit,
)
from distortions.palette import floyd_steinberg, wu_palette

# Width in pixels of the chroma blur of 04 as a function of its level: 1.5 a + 2.
DIFFUSION_SIGMA_SLOPE = 1.5
DIFFUSION_SIGMA_OFFSET = 2.0

EDGE_SIGMA = 4.0  # pixels; smoothing of the edge map of 05
EDGE_FLOOR = 0.1  # lowest value of the edge map of 05 before its outliers are cut
EDGE_PERCENTILE = 99.0  # per cent; outliers above it, and their mirror image below, are cut
GREEN = 1  # the channel 05 shifts


def color_diffusion(image: FloatImage, amount: float) -> FloatImage:
    """Blur a* and b* with a Gaussian of 1.5 amount + 2 pixels, then multiply them by `amount`.

    L* is kept; the result is clipped to 0..1.
    """
    lab = rgb_to_lab(image)
    sigma = DIFFUSION_SIGMA_SLOPE * amount + DIFFUSION_SIGMA_OFFSET
    lab[..., 1:] = amount * gaussian_filter(np.ascontiguousarray(lab[..., 1:]), sigma)
    return np.clip(lab_to_rgb(lab), 0.0, 1.0)


def color_shift(image: FloatImage, offset: tuple[int, int]) -> FloatImage:
    """Move the green channel by `offset` (rows down, columns right) pixels where there are edges.

    G := e shift(G) + (1 - e) G with the edge map e of `edge_map`; the border is repeated.
    """
    rows = np.clip(np.arange(image.shape[0]) - offset[0], 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - offset[1], 0, image.shape[1] - 1)
    green = image[..., GREEN]
    edges = edge_map(image)
    shifted = image.copy()
    shifted[..., GREEN] = edges * green[rows[:, None], columns] + (1 - edges) * green
    return shifted


def random_color_shift(image: FloatImage, distance: float, rng: np.random.Generator) -> FloatImage:
    """Apply `color_shift` over `distance` pixels in a random direction."""
    return color_shift(image, draw_offset(distance, rng))


def draw_offset(distance: float, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a displacement of `distance` pixels, each component rounded to a whole pixel.

    The direction is that of two uniform numbers in 0..1, so it lies in the quadrant down-right.
    """
    direction = rng.random(2)
    rows, columns = round_half_away(distance * direction / np.hypot(*direction))
    return int(rows), int(columns)


def edge_map(image: FloatImage) -> Float64[np.ndarray, "h w"]:
    """Return how much each pixel is near an edge, 0..1.

    The gradient's magnitude of the grey picture, smoothed, stretched, held above 0.1, stretched
    again, cut at its 1 % and 99 % order statistics and stretched a last time.
    """
    edges = rescale(gaussian_filter(_gradient_magnitude(rgb_to_gray(image)), EDGE_SIGMA))
    edges = rescale(np.clip(edges, EDGE_FLOOR, 1.0))
    low = 1 - _order_statistic(1 - edges, EDGE_PERCENTILE)
    high = _order_statistic(edges, EDGE_PERCENTILE)
    return rescale(np.clip(edges, low, high))


def _gradient_magnitude(gray: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    """Central differences inside, one-sided at the border; an axis one pixel long has none."""
    slopes = [np.gradient(gray, axis=axis) for axis in (0, 1) if gray.shape[axis] > 1]
    return np.sqrt(sum((slope**2 for slope in slopes), start=np.zeros_like(gray)))


def _order_statistic(x: np.ndarray, percentile: float) -> float:
    """Element number round(n percentile / 100), from 1 to n, of the sorted elements."""
    rank = int(np.clip(round_half_away(x.size * percentile / 100), 1, x.size)) - 1
    return np.partition(x, rank, axis=None)[rank]


def color_quantization(image: FloatImage, count: float) -> FloatImage:
    """Dither the 8-bit picture to a palette of `count` colours made for it.

    The palette is that of `wu_palette`, the dithering that of `floyd_steinberg`; they stand for
    MATLAB's `rgb2ind`, whose quantiser is not published. A picture that occupies fewer than
    `count` bins of 8 x 8 x 8 grey levels gets one colour for each; a constant picture is kept.
    """
    pixels = to_8bit(image)
    palette = wu_palette(pixels, int(count))
    return palette[floyd_steinberg(pixels, palette)] / MAX_8BIT


def color_saturation_hsv(image: FloatImage, factor: float) -> FloatImage:
    """Multiply the HSV saturation by `factor`: c := V - factor (V - c), V = max(R, G, B).

    Hue and value are kept. The result is not clipped: at a negative factor values exceed 1.
    """
    value = np.maximum(np.maximum(image[..., 0:1], image[..., 1:2]), image[..., 2:3])
    return value - factor * (value - image)


def color_saturation_lab(image: FloatImage, factor: float) -> FloatImage:
    """Multiply a* and b* by `factor`, keep L*, clip the result to 0..1."""
    lab = rgb_to_lab(image)
    lab[..., 1:] *= factor
    return np.clip(lab_to_rgb(lab), 0.0, 1.0)
