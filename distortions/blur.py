"""Blurs: Gaussian (01), lens (02) and motion (03). Borders repeat the outermost pixel."""

import math

import numpy as np
from jaxtyping import Float64

from distortions._matlab import FloatImage, filter_kernel, gaussian_filter

# Width in pixels over which the weight falls from 1 on the motion path to 0 beside it (MATLAB).
LINE_WIDTH = 1.0
ANGLE_MAX = 180  # degrees; the motion angle is a whole number in 0..ANGLE_MAX


def gaussian_blur(image: FloatImage, sigma: float) -> FloatImage:
    """Blur with a Gaussian of standard deviation `sigma` pixels, side 2 ceil(2 sigma) + 1.

    Matches MATLAB's `imgaussfilt` with replicated borders; at 0.1 px it is the identity.
    """
    return gaussian_filter(image, sigma)


def lens_blur(image: FloatImage, radius: float) -> FloatImage:
    """Blur with a disk of `radius` pixels, as an unfocused lens does. See `disk_kernel`."""
    return filter_kernel(image, disk_kernel(radius))


def motion_blur(image: FloatImage, length: float, angle: float) -> FloatImage:
    """Blur along a straight path of `length` pixels at `angle` degrees. See `motion_kernel`."""
    return filter_kernel(image, motion_kernel(length, angle))


def random_motion_blur(image: FloatImage, length: float, rng: np.random.Generator) -> FloatImage:
    """Apply `motion_blur` of `length` pixels at a random angle."""
    return motion_blur(image, length, draw_angle(rng))


def draw_angle(rng: np.random.Generator) -> int:
    """Draw a motion angle: a whole number of degrees, uniform on 0..180, both ends included."""
    return int(rng.integers(0, ANGLE_MAX, endpoint=True))


def disk_kernel(radius: float) -> Float64[np.ndarray, "side side"]:
    """Return the weights of a disk of `radius` pixels, sum 1, side 2 ceil(radius - 1/2) + 1.

    A weight is the exact area of its unit pixel inside the circle, as in MATLAB's
    `fspecial('disk')`, to which it is equal within 1e-9.
    """
    reach = math.ceil(radius - 0.5)
    edges = np.arange(-reach, reach + 2) - 0.5
    corners = _quadrant_area(np.abs(edges)[:, None], np.abs(edges)[None, :], radius)
    corners *= np.sign(edges)[:, None] * np.sign(edges)[None, :]
    # Rounding leaves pixels outside the circle at +-1e-17 instead of 0.
    area = np.maximum(np.diff(np.diff(corners, axis=0), axis=1), 0.0)
    return area / area.sum()


def _quadrant_area(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Area of the disk inside [0, x] x [0, y], for non-negative x and y."""
    x, y = np.minimum(x, radius), np.minimum(y, radius)
    # Left of `corner` the rectangle's top is inside the circle, right of it the arc is the limit.
    corner = np.minimum(np.sqrt(radius**2 - y**2), x)
    return corner * y + _area_under_arc(x, radius) - _area_under_arc(corner, radius)


def _area_under_arc(x: np.ndarray, radius: float) -> np.ndarray:
    """Integral of sqrt(radius^2 - u^2) for u from 0 to x."""
    return 0.5 * (x * np.sqrt(radius**2 - x**2) + radius**2 * np.arcsin(x / radius))


def motion_kernel(length: float, angle: float) -> Float64[np.ndarray, "rows columns"]:
    """Return the weights of a straight path of `length` pixels at `angle` degrees, sum 1.

    The angle is counter-clockwise from the horizontal. A weight is max(0, 1 - d), d being the
    distance in pixels from the pixel's centre to the segment of half length (length - 1) / 2,
    as in MATLAB's `fspecial('motion')`, to which it is equal within 1e-9. Beyond an end the
    distance is to the end point, and only pixels no nearer to the origin than the end count as
    beyond it. Length 1 is the identity.
    """
    half = (length - 1) / 2
    theta = math.radians(angle % ANGLE_MAX)
    cosine, sine = math.cos(theta), math.sin(theta)
    # The margin keeps a coordinate that is whole up to rounding from adding an all-zero rim.
    margin = length * np.finfo(float).eps
    reach_x = math.trunc(half * abs(cosine) + LINE_WIDTH - margin)
    reach_y = math.trunc(half * sine + LINE_WIDTH - margin)
    x = np.arange(-reach_x, reach_x + 1)[None, :]
    y = np.arange(reach_y, -reach_y - 1, -1)[:, None]  # rows run downwards, y upwards
    across = y * cosine - x * sine
    along = x * cosine + y * sine
    beyond_end = (np.hypot(x, y) >= half) & (np.abs(across) <= LINE_WIDTH)
    distance = np.where(beyond_end, np.hypot(across, half - np.abs(along)), np.abs(across))
    weights = np.maximum(LINE_WIDTH - distance, 0.0)
    return weights / weights.sum()
