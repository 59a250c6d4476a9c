"""TIFF's many ways to store pixels: read as 8 bits, or refused with the reason.

Pillow decodes most layouts. It passes over, and this module sees to:

- 12- and 16-bit grey keep their range and white-is-zero their sense: 255 is white afterwards.
- Uncompressed 16-bit samples in separate planes are read by tifffile.
- Signed integers, 32-bit integers and floating point have no fixed white: refused.
- CIE L*a*b*, and uncompressed YCbCr with fewer chroma samples, are refused.

Of several pages the first is taken.
"""

import logging
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from mtl.exif import orientation, upright
from mtl.jpeg_integrity import check_jpeg

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF 6.0 and BigTIFF

# Tags of TIFF 6.0 and values that matter here.
BITS, COMPRESSION, PHOTOMETRIC, PLANES = 258, 259, 262, 284
SAMPLE_FORMAT, JPEG_TABLES, CHROMA_SUBSAMPLING = 339, 347, 530
EXTENTS = ((273, 279), (324, 325))  # offsets and lengths of strips, of tiles
UNCOMPRESSED, JPEG, DEFLATE = 1, 7, (8, 32946)
WHITE_IS_ZERO, YCBCR = 0, 6
LAB = (8, 9, 10)
SEPARATE = 2
PLANAR_MODES = {"RGB": 3, "RGBA": 4, "CMYK": 4}  # channels; further ones are dropped
UNSIGNED = 1
FORMATS = {2: "signed integers", 3: "floating point", 5: "complex", 6: "complex"}

# tifffile reports through logging what it also raises.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)


def eight_bit_tiff(path: Path, picture: Image.Image) -> Image.Image:
    """Decode an opened TIFF to 8 bits a channel, its orientation applied.

    Raises:
        ValueError: its layout is not read.
    """
    tags = picture.tag_v2  # type: ignore[attr-defined]
    bits = max(_numbers(tags.get(BITS, 1)))
    photometric = tags.get(PHOTOMETRIC)
    for found in _numbers(tags.get(SAMPLE_FORMAT, UNSIGNED)):
        if found in FORMATS:
            raise ValueError(
                f"its pixels are {FORMATS[found]} and have no fixed range; save it as 8 or 16 bit"
            )
    if bits > 16:
        raise ValueError(f"{bits}-bit pixels have no fixed range; save it as 8 or 16 bit")
    if photometric in LAB:
        raise ValueError("its colours are CIE L*a*b*, which is not read; save it as RGB")
    raw = tags.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED
    if raw and photometric == YCBCR and tags.get(CHROMA_SUBSAMPLING, (2, 2)) != (1, 1):
        raise ValueError("its colours are subsampled YCbCr, which is not read; save it as RGB")
    if raw and bits == 16 and tags.get(PLANES) == SEPARATE and picture.mode in PLANAR_MODES:
        return _planar(path, picture)
    picture.load()
    if not picture.mode.startswith("I;16"):
        return picture
    most = (1 << bits) - 1
    grey = np.asarray(picture).astype(np.float32)
    if photometric == WHITE_IS_ZERO:
        grey = most - grey
    return Image.fromarray(np.round(np.minimum(grey, most) * (255 / most)).astype(np.uint8))


def _planar(path: Path, picture: Image.Image) -> Image.Image:
    """Read separate planes of 16 bits; the upper eight are kept, as of interleaved ones."""
    with tifffile.TiffFile(path) as file:
        planes = file.pages.first.asarray()
    channels = np.moveaxis(planes[: PLANAR_MODES[picture.mode]], 0, -1)
    stored = Image.fromarray((channels >> 8).astype(np.uint8), picture.mode)
    return upright(stored, orientation(picture))


def check_tiff(path: Path, picture: Image.Image) -> None:
    """Refuse compressed strips and tiles that are cut off or whose checksum is wrong.

    Raises:
        ValueError: says what is wrong.
    """
    tags = picture.tag_v2  # type: ignore[attr-defined]
    compression = tags.get(COMPRESSION, UNCOMPRESSED)
    if compression == JPEG and max(_numbers(tags.get(BITS, 1))) > 8:
        raise ValueError("its pixels are JPEG of 12 bits, which is not read; save it as 8-bit RGB")
    offsets, lengths = next(
        ((tags[o], tags[n]) for o, n in EXTENTS if o in tags and n in tags), ((), ())
    )
    tables = bytes(tags.get(JPEG_TABLES, b""))
    size = path.stat().st_size
    with path.open("rb") as file:
        for offset, length in zip(_numbers(offsets), _numbers(lengths), strict=False):
            if offset + length > size:
                raise ValueError("truncated: strips of it lie behind the file's end")
            if compression not in (JPEG, *DEFLATE):
                continue
            file.seek(offset)
            strip = file.read(length)
            if compression == JPEG:
                # The tables are a JPEG stream without picture, the strip one without tables.
                check_jpeg(tables[:-2] + strip[2:] if tables else strip, errors=True)
            else:
                _check_deflated(strip)


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


def described_layout(path: Path) -> str:
    """Return what a TIFF's header says of its pixels, in words."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            photometric = getattr(page.photometric, "name", page.photometric)
            kind = FORMATS.get(page.sampleformat, "unsigned integers")
            return (
                f"{page.bitspersample} bits, {page.samplesperpixel} samples a pixel, {kind},"
                f" {photometric}"
            )
    except Exception:  # a header that nobody can read has no layout
        return "its header is damaged"


def _numbers(value: object) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)  # type: ignore[return-value]
