"""The types that convert colours, against a second path written from the definition alone.

It shares no code with the package: NumPy's powers and cube roots, SciPy's filters, float64.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from distortions import DISTORTIONS, distort

# Brought here by value: Lindbloom's sRGB (D65) and the constants of IEC 61966-2-1 and CIE 15.
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = RGB_TO_XYZ.sum(axis=1)

TOLERANCE = 1  # grey levels: a value halfway between two may be rounded either way
HALFWAY_SHARE = 1e-3  # of the samples of a picture that may lie so; 2e-4 were found


def to_lab(image: np.ndarray) -> np.ndarray:
    linear = np.where(image > 0.04045, ((image + 0.055) / 1.055) ** 2.4, image / 12.92)
    relative = linear @ RGB_TO_XYZ.T / WHITE
    x, y, z = np.moveaxis(
        np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116),
        -1,
        0,
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    relative = np.where(f**3 > 216 / 24389, f**3, (116 * f - 16) / (24389 / 27))
    linear = (relative * WHITE) @ np.linalg.inv(RGB_TO_XYZ).T
    size = np.abs(linear)
    curved = np.sign(linear) * (1.055 * size ** (1 / 2.4) - 0.055)
    return np.clip(np.where(size > 0.0031308, curved, 12.92 * linear), 0, 1)


def blur(planes: np.ndarray, radius: int, sigma: float) -> np.ndarray:
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    for axis in (0, 1):
        planes = correlate1d(planes, taps / taps.sum(), axis=axis, mode="nearest")
    return planes


def diffusion(image: np.ndarray, amount: float) -> np.ndarray:
    lab = to_lab(image)
    sigma = 1.5 * amount + 2
    lab[..., 1:] = amount * blur(lab[..., 1:], int(np.ceil(2 * sigma)), sigma)
    return to_rgb(lab)


def saturation_hsv(image: np.ndarray, amount: float) -> np.ndarray:
    """Through the hexcone, as the original does: p, q and t of Smith 1978 by the sextant."""
    value, span = image.max(-1), np.ptp(image, axis=-1)
    red, green, blue = np.moveaxis(image, -1, 0)
    some = np.where(span > 0, span, 1.0)
    hue = np.where(
        value == blue,
        4 + (red - green) / some,
        np.where(value == green, 2 + (blue - red) / some, (green - blue) / some),
    )
    hue = np.where(span > 0, hue % 6, 0.0)
    saturation = amount * span / np.where(value > 0, value, 1.0)
    sextant = np.floor(hue)
    part = hue - sextant
    p, q, t = 1 - saturation, 1 - saturation * part, 1 - saturation * (1 - part)
    one = np.ones_like(p)
    order = np.stack(
        [
            np.stack(each, axis=-1)
            for each in (
                (one, t, p),
                (q, one, p),
                (p, one, t),
                (p, q, one),
                (t, p, one),
                (one, p, q),
            )
        ]
    )
    index = (sextant.astype(int) % 6)[None, ..., None]
    return value[..., None] * np.take_along_axis(order, index, axis=0)[0]


def saturation_lab(image: np.ndarray, amount: float) -> np.ndarray:
    return to_rgb(to_lab(image) * np.array([1.0, amount, amount]))


def brighten(image: np.ndarray, amount: float) -> np.ndarray:
    middle = 0.5 + amount / 2

    def curve(x: np.ndarray) -> np.ndarray:
        return np.clip((2 - 4 * middle) * x**2 + (4 * middle - 1) * x, 0, 1)

    lab = to_lab(image)
    lab[..., 0] = 100 * curve(lab[..., 0] / 100)
    return (2 * curve(image) + to_rgb(lab)) / 3


def sharpen(image: np.ndarray, amount: float) -> np.ndarray:
    lab = to_lab(image)
    lightness = lab[..., 0].copy()
    lab[..., 0] += amount * (lightness - blur(lightness, 6, 3.0))
    return to_rgb(lab)


PATHS: dict[int, Callable[[np.ndarray, float], np.ndarray]] = {
    4: diffusion,
    7: saturation_hsv,
    8: saturation_lab,
    16: brighten,
    24: sharpen,
}


def expected(image: np.ndarray, number: int, level: int) -> np.ndarray:
    def stretched(x: np.ndarray) -> np.ndarray:
        return (x - x.min()) / (x.max() - x.min())

    changed = PATHS[number](
        stretched(image.astype(np.float64)), DISTORTIONS[number].levels[level - 1]
    )
    return np.floor(255 * stretched(changed) + 0.5).astype(np.uint8)


def every_colour() -> np.ndarray:
    """One in 64 of the 16.7 million colours, in no order, as a picture of 512x512."""
    chosen = np.random.default_rng(0).permutation(2**24)[: 512 * 512]
    colours = np.stack([chosen >> 16, chosen >> 8 & 255, chosen & 255], axis=-1)
    return colours.astype(np.uint8).reshape(512, 512, 3)


def colour_wheel() -> np.ndarray:
    """Every hue at full saturation, where a* and b* are largest."""
    ramp = np.arange(256)
    full, none = np.full(256, 255), np.zeros(256, int)
    sides = [
        (full, ramp, none),
        (255 - ramp, full, none),
        (none, full, ramp),
        (none, 255 - ramp, full),
        (ramp, none, full),
        (full, none, 255 - ramp),
    ]
    line = np.concatenate([np.stack(side, axis=-1) for side in sides]).astype(np.uint8)
    return np.repeat(line[None, ::4], 48, axis=0)


@pytest.fixture(scope="module")
def pictures(sample) -> dict[str, np.ndarray]:
    """Photographs, noise, dark noise, saturated colours, and colours from the whole cube."""
    rng = np.random.default_rng(1)
    photographs = {name: image[100:356, 100:420] for name, image in sample.items()}
    return {
        **photographs,
        "noise": rng.integers(0, 256, (64, 96, 3), dtype=np.uint8),
        "dark": rng.integers(0, 12, (64, 96, 3), dtype=np.uint8),
        "wheel": colour_wheel(),
        "cube": every_colour(),
    }


@pytest.mark.parametrize("number", PATHS)
def test_colour_conversions_agree_with_the_definition(pictures, number):
    for name, image in pictures.items():
        for level in (1, 3, 5):
            difference = np.abs(
                distort(image, number, level).astype(int) - expected(image, number, level)
            )
            assert difference.max() <= TOLERANCE, (name, level)
            if number != 7:  # V - a (V - c) is often exactly halfway
                assert (difference > 0).mean() < HALFWAY_SHARE, (name, level)
