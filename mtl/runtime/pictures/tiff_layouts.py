"""TIFF's many ways to store pixels: read as 8 bits, or refused with the reason.

Pillow decodes most layouts. It passes over, and this module sees to:

- 12- and 16-bit grey keep their range and white-is-zero their sense: 255 is white afterwards.
- Uncompressed separate planes are read by tifffile; one plane alone is no layout of its own.
- A palette whose 16-bit entries are all below 256 has eight bits, as for libtiff.
- Signed integers, 32-bit integers and floating point have no fixed white: refused.
- CIE L*a*b*, uncompressed YCbCr with fewer chroma samples, inks other than CMYK, and grey of which
  the file does not say whether zero is black are refused.

Of several pages the first is taken.
"""

import io
import logging
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from mtl.runtime.pictures.exif import orientation, upright

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF 6.0 and BigTIFF

# Tags of TIFF 6.0 and values that matter here.
BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES = 258, 259, 262, 277, 284
COLOUR_MAP, INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, CHROMA_SUBSAMPLING = 320, 332, 338, 339, 530
UNCOMPRESSED, JPEG, DEFLATE = 1, 7, (8, 32946)
WHITE_IS_ZERO, INKS, YCBCR = 0, 5, 6
CMYK = 1  # ink set
ASSOCIATED = 1  # extra sample: colours are multiplied by it
LAB = (8, 9, 10)
SEPARATE = 2
# Channels that are read of separate planes; further ones are dropped.
PLANAR_MODES = {"L": 1, "LA": 2, "La": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
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
    bits = max(numbers(tags.get(BITS, 1)))
    photometric = tags.get(PHOTOMETRIC)
    for found in numbers(tags.get(SAMPLE_FORMAT, UNSIGNED)):
        if found in FORMATS:
            raise ValueError(
                f"its pixels are {FORMATS[found]} and have no fixed range; save it as 8 or 16 bit"
            )
    if bits > 16:
        raise ValueError(f"{bits}-bit pixels have no fixed range; save it as 8 or 16 bit")
    if photometric in LAB:
        raise ValueError("its colours are CIE L*a*b*, which is not read; save it as RGB")
    if photometric is None and picture.mode != "RGB":
        raise ValueError("it does not say whether zero is black or white; save it as 8-bit RGB")
    if photometric == INKS and tags.get(INK_SET, CMYK) != CMYK:
        raise ValueError("its inks are not those of CMYK; save it as RGB")
    raw = tags.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED
    if raw and photometric == YCBCR and tags.get(CHROMA_SUBSAMPLING, (2, 2)) != (1, 1):
        raise ValueError("its colours are subsampled YCbCr, which is not read; save it as RGB")
    if raw and tags.get(PLANES) == SEPARATE:
        if tags.get(SAMPLES, 1) > 1 and picture.mode in PLANAR_MODES and bits in (8, 16):
            return _planar(path, picture)
        picture = _interleaved(path, picture)
    try:
        picture.load()
    except OSError as error:
        if "decoder error" not in str(error):
            raise
        raise ValueError(
            "its pixels are damaged or compressed in a way that is not read"
        ) from error
    if picture.mode == "P" and max(tags[COLOUR_MAP]) < 256:
        colours = np.array(tags[COLOUR_MAP], np.uint8).reshape(3, -1)
        picture.putpalette(colours.T.tobytes())
    if not picture.mode.startswith("I;16"):
        return picture
    most = (1 << bits) - 1
    grey = np.asarray(picture).astype(np.float32)
    if photometric == WHITE_IS_ZERO:
        grey = most - grey
    return Image.fromarray(np.round(np.minimum(grey, most) * (255 / most)).astype(np.uint8))


def _planar(path: Path, picture: Image.Image) -> Image.Image:
    """Read separate planes; of 16 bits the upper eight are kept, as of interleaved ones."""
    with tifffile.TiffFile(path) as file:
        planes = file.pages.first.asarray()
    channels = np.moveaxis(planes[: PLANAR_MODES[picture.mode]], 0, -1)
    if channels.dtype.itemsize > 1:
        channels = channels >> 8
    if picture.tag_v2[PHOTOMETRIC] == WHITE_IS_ZERO:  # type: ignore[attr-defined]
        channels = 255 - channels
    extra = numbers(picture.tag_v2.get(EXTRA_SAMPLES, 0))  # type: ignore[attr-defined]
    mode = "RGBa" if picture.mode == "RGBA" and extra[0] == ASSOCIATED else picture.mode
    bands = [Image.fromarray(channels[..., k].astype(np.uint8)) for k in range(channels.shape[2])]
    return upright(Image.merge(mode, bands), orientation(picture))


def _interleaved(path: Path, picture: Image.Image) -> Image.Image:
    """Open a TIFF of one plane again as what it is as well: one whose samples are interleaved."""
    with tifffile.TiffFile(path) as file:
        place, order = file.pages.first.tags[PLANES].valueoffset, file.byteorder
    if picture.tag_v2.get(SAMPLES, 1) > 1:  # type: ignore[attr-defined]
        raise ValueError("its planes are of a layout that is not read; save it as 8-bit RGB")
    data = bytearray(path.read_bytes())
    data[place : place + 2] = b"\1\0" if order == "<" else b"\0\1"
    return Image.open(io.BytesIO(data), formats=["TIFF"])


def described_layout(path: Path) -> str:
    """Return what a TIFF's header says of its pixels, in words."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            photometric = getattr(page.photometric, "name", page.photometric)
            kind = FORMATS.get(page.sampleformat, "unsigned integers")
            return (
                f"{page.bitspersample} bits, {page.samplesperpixel} samples a pixel, {kind},"
                f" {photometric}{', big-endian' * (file.byteorder == '>')}"
                f"{', BigTIFF' * file.is_bigtiff}"
            )
    except Exception:  # a header that nobody can read has no layout
        return "its header is damaged"


def numbers(value: object) -> tuple[int, ...]:
    """Return the value or values of a tag."""
    return tuple(value) if isinstance(value, tuple | list) else (value,)  # type: ignore[return-value]
