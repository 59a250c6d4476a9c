"""Damage in TIFF files: strips and tiles that are missing, cut off, or whose checksum is wrong."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from mtl.runtime.pictures.jpeg_integrity import check_jpeg
from mtl.runtime.pictures.tiff_layouts import (
    BITS,
    CHROMA_SUBSAMPLING,
    COMPRESSION,
    DEFLATE,
    JPEG,
    PHOTOMETRIC,
    PLANES,
    SAMPLES,
    SEPARATE,
    UNCOMPRESSED,
    YCBCR,
    numbers,
)

# Tags of TIFF 6.0.
WIDTH, HEIGHT, FILL_ORDER, ROWS_PER_STRIP = 256, 257, 266, 278
STRIPS, TILES = (273, 279), (324, 325)  # offsets, lengths
TILE_SIZE = (322, 323)  # width, height
JPEG_TABLES = 347
OLD_JPEG = 6  # keeps its data elsewhere
LOW_BIT_FIRST = 2
REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def check_tiff(path: Path, picture: Image.Image) -> None:
    """Refuse strips and tiles that are missing, cut off or damaged, as far as they show it.

    Raises:
        ValueError: says what is wrong.
    """
    tags = picture.tag_v2  # type: ignore[attr-defined]
    compression = tags.get(COMPRESSION, UNCOMPRESSED)
    if compression == JPEG and max(numbers(tags.get(BITS, 1))) > 8:
        raise ValueError("its pixels are JPEG of 12 bits, which is not read; save it as 8-bit RGB")
    if compression == OLD_JPEG:
        return
    needed = _needed(tags)
    offset_tag, length_tag = TILES if TILES[0] in tags else STRIPS
    offsets = numbers(tags.get(offset_tag, ()))[: len(needed)]
    lengths = numbers(tags.get(length_tag, needed))[: len(needed)]
    missing = len(needed) - sum(1 for offset in offsets if offset)
    if compression == UNCOMPRESSED:
        # Some writers state more for the last strip than there is, or nothing.
        lengths = needed
    else:
        missing = max(missing, len(needed) - sum(1 for length in lengths if length))
    if missing > 0:
        raise ValueError(f"damaged: {missing} of its {len(needed)} strips or tiles are missing")
    tables = bytes(tags.get(JPEG_TABLES, b""))
    size = path.stat().st_size
    with path.open("rb") as file:
        for offset, length in zip(offsets, lengths, strict=False):
            if offset + length > size and compression not in DEFLATE:
                raise ValueError("truncated: strips of it lie behind the file's end")
            if compression not in (JPEG, *DEFLATE):
                continue
            file.seek(offset)
            strip = file.read(min(length, size))
            if compression == JPEG:
                # The tables are a JPEG stream without picture, the strip one without tables.
                check_jpeg(tables[:-2] + strip[2:] if tables else strip, errors=True)
            else:
                turned = tags.get(FILL_ORDER) == LOW_BIT_FIRST
                _check_deflated(strip.translate(REVERSED) if turned else strip)


def _needed(tags: Mapping[int, Any]) -> list[int]:
    """Return how many bytes each strip or tile has without compression, in the file's order."""
    width, height, samples = tags[WIDTH], tags[HEIGHT], tags.get(SAMPLES, 1)
    bits = numbers(tags.get(BITS, 1))
    bits = bits * samples if len(bits) == 1 else bits
    if tags.get(PHOTOMETRIC) == YCBCR and tags.get(CHROMA_SUBSAMPLING, (2, 2)) != (1, 1):
        bits = (bits[0],)  # at least: a block has one sample of luminance for each pixel
    planes = 1
    if tags.get(PLANES) == SEPARATE and samples > 1:
        planes, bits = samples, bits[:1]
    if TILES[0] in tags:
        across, down = (max(1, tags.get(tag, 1)) for tag in TILE_SIZE)
        count = -(-width // across) * -(-height // down)
        return [down * _row(across, bits)] * count * planes
    rows = min(max(1, tags.get(ROWS_PER_STRIP, height)), height)
    tops = range(0, height, rows)
    return [min(rows, height - top) * _row(width, bits) for top in tops] * planes


def _row(pixels: int, bits: tuple[int, ...]) -> int:
    return (pixels * sum(bits) + 7) // 8


def _check_deflated(strip: bytes) -> None:
    stream = zlib.decompressobj()
    try:
        while strip and not stream.eof:
            stream.decompress(strip, 1 << 20)
            strip = stream.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"damaged: {error}") from error
    if not stream.eof:
        raise ValueError("damaged: compressed data end early")
