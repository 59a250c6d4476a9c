"""JPEG quality, read from the quantisation tables of a file.

libjpeg scales the luminance table of ITU-T T.81, annex K.1, for a quality of 1..100 (jcparam.c of
the Independent JPEG Group): table = min(max(⌊(base·scale + 50) / 100⌋, 1), 255) with scale =
⌊5000 / quality⌋ below 50 and 200 - 2·quality from there. The 100 tables differ, so that the quality
of a file by libjpeg is read exactly. Cameras and editors have tables of their own: the quality is
then that of the nearest of the 100, by the sum of absolute differences.
"""

import os

import numpy as np
from jaxtyping import Int

from mtl.runtime.pictures.decoders import opened

JPEG_FORMATS = ("JPEG", "MPO")  # as Pillow names them; MPO is JPEG with further pictures
LOSSLESS = 100  # of files that are not JPEG, and of lossless JPEG, which quantises nothing

# ITU-T T.81, table K.1: luminance, row by row.
LUMINANCE = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61),
        *(12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77),
        *(24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101),
        *(72, 92, 95, 98, 112, 100, 103, 99),
    ]
)
LARGEST = 255  # entry of a baseline table


def luminance_table(quality: int) -> Int[np.ndarray, "64"]:
    """The luminance table that libjpeg makes for a quality of 1..100, row by row."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((LUMINANCE * scale + 50) // 100, 1, LARGEST)


TABLES = np.stack([luminance_table(quality) for quality in range(1, 101)])


def quality_of_table(table: Int[np.ndarray, "64"]) -> int:
    """The quality, 1..100, whose luminance table is nearest; the higher of two as near."""
    # Tables of 16 bits, which libjpeg writes for low qualities on request, are compared as of 8.
    differences = np.abs(TABLES - np.minimum(table, LARGEST)).sum(axis=1)
    return len(TABLES) - int(differences[::-1].argmin())


def jpeg_quality(path: str | os.PathLike) -> int:
    """Return the quality, 1..100, of a picture file; 100 if it is no lossy JPEG.

    Raises:
        InputError: the file is missing or is not a picture.
    """
    with opened(path) as picture:
        if picture.format not in JPEG_FORMATS:
            return LOSSLESS
        tables: dict[int, list[int]] = picture.quantization  # type: ignore[attr-defined]
        return quality_of_table(np.array(tables[min(tables)])) if tables else LOSSLESS
