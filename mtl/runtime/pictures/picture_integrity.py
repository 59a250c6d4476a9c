"""Damage in picture files that decoders pass over in silence.

Where the format lets one know: JPEG by `mtl.runtime.pictures.jpeg_integrity`; PNG by its checksums,
its end chunk and the length of its pixels; deflated TIFF by zlib's checksums, JPEG in TIFF as JPEG,
every TIFF by the number and the extent of its strips; AVIF, HEIF and lossy WebP by zeros, or any
one byte again and again, where compressed data should be, as half-copied files have them. Lossless
WebP writes such runs itself for flat areas; it, BMP, PPM and other TIFF hold nothing to compare
with: only missing bytes show.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from mtl.runtime.pictures.iso_media import coded_extents
from mtl.runtime.pictures.jpeg_integrity import check_jpeg
from mtl.runtime.pictures.png_chunks import check_png
from mtl.runtime.pictures.tiff_integrity import check_tiff

# Equal bytes in a row that no arithmetic coder writes: of 525 pictures (photographs, flat colours,
# stripes, repeated tiles; any quality) AV1 wrote at most 10.
RUN = 64
# VP8 writes longer runs for flat areas: at most 0.71 bytes a block of 16 x 16 pixels.
VP8_BLOCK, VP8_BYTES_PER_BLOCK = 16, 1


def check_whole(path: Path, picture: Image.Image) -> None:
    """Refuse a picture file that lost pixels, as far as its format shows it.

    Args:
        path: the file.
        picture: the same, opened.

    Raises:
        ValueError: says what is wrong.
    """
    kind = picture.format
    if kind in ("JPEG", "MPO"):
        check_jpeg(path.read_bytes())
    elif kind == "PNG":
        check_png(path.read_bytes())
    elif kind == "TIFF":
        check_tiff(path, picture)
    elif kind == "WEBP":
        data = path.read_bytes()
        _check_webp(data, picture.size)
    elif kind in ("AVIF", "HEIF"):
        data = path.read_bytes()
        for start, end in coded_extents(data):
            if end > len(data):
                raise ValueError("truncated")
            _check_runs(data[start:end], RUN)


def _check_webp(data: bytes, size: tuple[int, int]) -> None:
    """Refuse lossy streams that hold one byte again and again."""
    blocks = math.prod(-(-length // VP8_BLOCK) for length in size)
    position = len(b"RIFF....WEBP")
    while position + 8 <= len(data):
        name = data[position : position + 4]
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if name == b"VP8 ":
            stream = data[position + 8 : position + 8 + length]
            _check_runs(stream, RUN + VP8_BYTES_PER_BLOCK * blocks)
        position += 8 + length + length % 2


def _check_runs(stream: bytes, allowed: int) -> None:
    """Refuse compressed data in which a byte comes more often in a row than a coder writes it."""
    changes = np.flatnonzero(np.diff(np.frombuffer(stream, np.uint8)))
    ends = np.concatenate([[-1], changes, [len(stream) - 1]])
    lengths = np.diff(ends)
    longest = int(lengths.argmax())
    if lengths[longest] > allowed:
        byte = stream[ends[longest] + 1]
        held = "zeros" if byte == 0 else f"bytes {byte:02x}"
        raise ValueError(f"damaged: a part of its compressed data is {held}")
