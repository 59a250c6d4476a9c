"""What surrounds every distortion: checks, two stretches, seeding and rounding."""

import difflib
import operator
from typing import SupportsIndex

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from distortions._matlab import MAX_8BIT, rescale, to_8bit
from distortions.checks import check_8bit
from distortions.table import DISTORTIONS, LEVELS, Distortion


def distort(
    image: UInt8[np.ndarray, "h w 3"],
    distortion: int | str,
    level: int,
    *,
    seed: int = 0,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return `image` distorted as in KADID-10k and KADIS-700k.

    The steps are those of the original MATLAB program: I = S(image), J = f(I, amount),
    result = round(255 S(J)), where S(x) = (x - min x) / (max x - min x) with the extremes over all
    pixels and channels together, and halves are rounded away from zero. So a picture that does not
    span 0..255 is stretched even by the mildest level, and a distortion that only adds or scales
    would have no effect. A constant picture is not stretched.

    The same pixels, distortion, level and seed give the same bytes in any process, in any order
    and with any number of threads. Deterministic types ignore the seed.

    Against reference outputs computed with MATLAB's published algorithms under GNU Octave, types 1
    to 5, 8, 10, 16 to 18, 21, 22, 24 and 25 are equal bit for bit (3 and 5 for a given draw), type
    7 differs by one grey level where a value lies halfway between two, and the other random types
    agree in distribution. On other pictures a value halfway between two levels may be rounded
    either way in types 4, 8, 16 and 24 too. Three types stand for closed programs: 6 has the
    palette of the reference but not its pixels, 9 is OpenJPEG's, and 15 removes its noise with a
    network of our own in the place of MATLAB's.

    Args:
        image: RGB picture, 8 bits, 0..255, any size from 1 x 1 (the original uses 512 x 384). It
            is not modified.
        distortion: number (1..25) or name, a key of `DISTORTIONS` or the name of one of them.
        level: 1..5.
        seed: non-negative; the random types draw from a generator made of it, the distortion's
            number and the level.

    Returns:
        RGB picture, 8 bits, of the same shape.

    Raises:
        TypeError: the image is not a NumPy array of unsigned 8-bit integers, or the distortion,
            the level or the seed is of the wrong type.
        ValueError: the image is empty or not (H, W, 3), the distortion is unknown, or the level or
            the seed is out of range.

    References:
        Lin, Hosu, Saupe, "KADID-10k: A Large-scale Artificially Distorted IQA Database",
        QoMEX 2019, doi:10.1109/QoMEX.2019.8743252; arXiv:2001.08113 for KADIS-700k.
    """
    check_8bit(image)
    chosen = _find_distortion(distortion)
    level = _whole_number(level, "level")
    if level not in LEVELS:
        raise ValueError(f"level must be 1, 2, 3, 4 or 5, got {level}")
    seed = _whole_number(seed, "seed")
    if seed < 0:
        raise ValueError(f"seed must be 0 or greater, got {seed}")

    # The spawn key keeps every (seed, distortion, level) in a stream of its own.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(chosen.id, level)))
    amount = chosen.levels[level - 1]
    return to_8bit(rescale(chosen.apply.unchecked(_stretch_8bit(image), amount, rng)))


def _stretch_8bit(image: UInt8[np.ndarray, "h w 3"]) -> Float64[np.ndarray, "h w 3"]:
    """Return S(image) as float64; a constant picture only divided by 255."""
    values = np.arange(MAX_8BIT + 1)
    low, high = int(image.min()), int(image.max())
    # A picture has 256 values at most, so the division is done on those and looked up.
    lookup = values / MAX_8BIT if low == high else (values - low) / (high - low)
    return cv2.LUT(np.ascontiguousarray(image), lookup)


def _find_distortion(distortion: object) -> Distortion:
    if isinstance(distortion, str):
        names = {row.name: row for row in DISTORTIONS.values()}
        if distortion not in names:
            near = difflib.get_close_matches(distortion, names)
            hint = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(names)}"
            raise ValueError(f"unknown distortion {distortion!r}; {hint}")
        return names[distortion]
    number = _whole_number(distortion, "distortion", "a name or a whole number")
    if number not in DISTORTIONS:
        raise ValueError(f"distortion must be 1 to {len(DISTORTIONS)} or a name, got {number}")
    return DISTORTIONS[number]


def _whole_number(value: object, what: str, expected: str = "a whole number") -> int:
    """Return `value` as an int. A bool, though an int to Python, is taken for a mistake."""
    if not isinstance(value, SupportsIndex) or isinstance(value, bool | np.ndarray):
        raise TypeError(f"{what} must be {expected}, got {value!r} ({type(value).__name__})")
    return operator.index(value)
