"""A small palette for a picture, and the picture dithered to it.

Wu, "Efficient Statistical Computations for Optimal Color Quantization", Graphics Gems II, 1991,
pp. 126-133. Floyd, Steinberg, "An Adaptive Algorithm for Spatial Greyscale", Proc. SID 17(2), 1976.

Colours are 8-bit RGB. Both steps see a colour through its bin, the upper five bits per channel.
"""

import numpy as np
from jaxtyping import Float64, UInt8

from distortions._matlab import MAX_8BIT, round_half_away

BIN_SHIFT = 3  # bits of a channel that its bin leaves out
BIN_SIDE = 2**BIN_SHIFT  # grey levels
BINS = 32  # per channel
# Position of a bin in a flat table is this times its red, green and blue index.
BIN_STRIDES = np.array([BINS**2, BINS, 1])

# Shares of the error of Floyd and Steinberg, by where the neighbour that takes it lies.
SHARE_RIGHT = 7 / 16
SHARE_LEFT_BELOW = 3 / 16
SHARE_BELOW = 5 / 16
SHARE_RIGHT_BELOW = 1 / 16

Box = tuple[tuple[int, int], ...]  # bins low..high - 1 of red, green and blue


def wu_palette(image: UInt8[np.ndarray, "h w 3"], count: int) -> Float64[np.ndarray, "n 3"]:
    """Return at most `count` colours, whole numbers in 0..255, that leave little variance.

    A box around all bins is split `count` - 1 times: always the box of the largest squared error,
    by the plane that leaves the least. An entry is the mean colour of its box, rounded. There are
    fewer than `count` colours only if the picture occupies fewer bins: then one for each bin.
    Entries are always distinct, for boxes end between bins.
    """
    moments = _cumulative_moments(image)
    boxes: list[Box] = [((0, BINS), (0, BINS), (0, BINS))]
    errors = [_squared_error(moments, boxes[0])]
    while len(boxes) < count and max(errors) > 0:
        worst = int(np.argmax(errors))
        halves = _split(moments, boxes[worst])
        if halves is None:
            errors[worst] = 0.0
            continue
        boxes[worst : worst + 1] = halves
        errors[worst : worst + 1] = [_squared_error(moments, half) for half in halves]
    sums = np.array([_box_sum(moments, box) for box in boxes])
    return round_half_away(sums[:, 1:4] / sums[:, :1])


def _cumulative_moments(image: UInt8[np.ndarray, "h w 3"]) -> Float64[np.ndarray, "33 33 33 5"]:
    """Sums of 1, R, G, B and R^2 + G^2 + B^2 over the pixels in all bins below, per axis.

    The sums are whole numbers below 2^53 and therefore exact.
    """
    colors = image.reshape(-1, 3)
    bins = _flat_bins((colors >> BIN_SHIFT).T)
    channels = colors.T.astype(np.float64)
    squares = (channels * channels).sum(axis=0)
    sums = np.zeros((BINS + 1, BINS + 1, BINS + 1, 5))
    for i, weights in enumerate((None, *channels, squares)):
        of_bin = np.bincount(bins, weights, minlength=BINS**3)
        sums[1:, 1:, 1:, i] = of_bin.reshape(BINS, BINS, BINS)
    return sums.cumsum(axis=0).cumsum(axis=1).cumsum(axis=2)


def _flat_bins(bins: np.ndarray) -> np.ndarray:
    """Position in a flat table of bins given as red, green and blue indices along axis 0."""
    return BIN_STRIDES @ bins.astype(np.int64)


def _box_sum(moments: np.ndarray, box: Box) -> Float64[np.ndarray, " 5"]:
    """Moments of the bins low..high - 1 of each axis."""
    (r0, r1), (g0, g1), (b0, b1) = box
    corners = moments[r0 : r1 + 1 : r1 - r0, g0 : g1 + 1 : g1 - g0, b0 : b1 + 1 : b1 - b0]
    return np.diff(np.diff(np.diff(corners, axis=0), axis=1), axis=2)[0, 0, 0]


def _explained(sums: np.ndarray) -> np.ndarray:
    """|sum of colours|^2 / number of pixels: what the mean colour takes off the sum of squares."""
    return (sums[..., 1:4] ** 2).sum(axis=-1) / sums[..., 0]


def _squared_error(moments: np.ndarray, box: Box) -> float:
    """Sum of squared distances of the box's pixels to their mean; 0 if it is a single bin."""
    if all(high - low == 1 for low, high in box):
        return 0.0
    sums = _box_sum(moments, box)
    return float(sums[4] - _explained(sums))


def _split(moments: np.ndarray, box: Box) -> tuple[Box, Box] | None:
    """Cut the box where the two halves' squared errors are least; None if no cut has two halves.

    Of equally good cuts the first is taken, in the order red, green, blue and upwards.
    """
    whole = _box_sum(moments, box)
    best, best_gain = None, -np.inf
    for axis, (low, high) in enumerate(box):
        if high - low == 1:
            continue
        # Sums of the slabs from `low` to each possible cut.
        corners = np.moveaxis(moments, axis, 0)[low + 1 : high]
        (p0, p1), (q0, q1) = (box[other] for other in range(3) if other != axis)
        corners = corners - np.moveaxis(moments, axis, 0)[low]
        below = corners[:, p1, q1] - corners[:, p0, q1] - corners[:, p1, q0] + corners[:, p0, q0]
        above = whole - below
        valid = np.flatnonzero((below[:, 0] > 0) & (above[:, 0] > 0))
        if len(valid) == 0:
            continue
        gains = _explained(below[valid]) + _explained(above[valid])
        first = int(np.argmax(gains))
        if gains[first] > best_gain:
            cut = low + 1 + int(valid[first])
            lower, upper = list(box), list(box)
            lower[axis], upper[axis] = (low, cut), (cut, high)
            best, best_gain = (tuple(lower), tuple(upper)), gains[first]
    return best


def nearest_colors(palette: Float64[np.ndarray, "n 3"]) -> UInt8[np.ndarray, " 32768"]:
    """Return for each bin the palette entry nearest to its centre, the first of equally near."""
    # Exact in single precision, whose 24 bits hold these whole numbers.
    centres = np.arange(BINS, dtype=np.float32) * BIN_SIDE + BIN_SIDE / 2
    per_axis = (centres - palette[:, :, None].astype(np.float32)) ** 2  # entry, channel, bin
    distances = (
        per_axis[:, 0, :, None, None] + per_axis[:, 1, None, :, None] + per_axis[:, 2, None, None]
    )
    return distances.reshape(len(palette), -1).argmin(axis=0).astype(np.uint8)


def floyd_steinberg(
    image: UInt8[np.ndarray, "h w 3"], palette: Float64[np.ndarray, "n 3"]
) -> UInt8[np.ndarray, "h w"]:
    """Return the palette index of each pixel, dithered in raster order.

    A pixel's value plus the errors handed to it is clipped to 0..255 and takes the colour nearest
    to its bin (`nearest_colors`). The clipped value minus that colour is the error handed on:
    7/16 to the right, 3/16, 5/16 and 1/16 to the left, middle and right below.
    """
    height, width = image.shape[:2]
    nearest = nearest_colors(palette)
    colors = np.ascontiguousarray(palette.T)
    # One plane per channel, rows end to end: a pixel holds its value until it is visited and its
    # error from then on. The row above the picture and the columns beside it hand on nothing.
    row = max(width + 1, 3)
    planes = np.zeros((3, height + 1, row))
    planes[:, 1:, 1 : width + 1] = np.moveaxis(image, 2, 0)
    planes = planes.reshape(3, -1)
    indices = np.zeros(planes.shape[1], dtype=np.uint8)
    # A pixel needs its left neighbour and the three above, so the pixels x = t - 2 y of all rows y
    # can be visited together, t upwards. From one to the next below are `stride` elements.
    stride = row - 2
    for t in range(width + 2 * (height - 1)):
        first = max(0, (t - width + 2) // 2)
        end = min(height, t // 2 + 1)
        if first >= end:
            continue
        start = row + 1 + t + first * stride
        stop = start + (end - first - 1) * stride + 1
        values = planes[:, start:stop:stride] + (
            SHARE_RIGHT * planes[:, start - 1 : stop - 1 : stride]
            + SHARE_LEFT_BELOW * planes[:, start - row + 1 : stop - row + 1 : stride]
            + SHARE_BELOW * planes[:, start - row : stop - row : stride]
            + SHARE_RIGHT_BELOW * planes[:, start - row - 1 : stop - row - 1 : stride]
        )
        values = np.minimum(np.maximum(values, 0.0), MAX_8BIT)
        chosen = nearest[_flat_bins(values.astype(np.uint8) >> BIN_SHIFT)]
        indices[start:stop:stride] = chosen
        planes[:, start:stop:stride] = values - colors[:, chosen]
    return indices.reshape(height + 1, row)[1:, 1 : width + 1]
