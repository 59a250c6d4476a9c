"""Damage in picture files that decoders pass over in silence.

Where the format lets one know: JPEG by `mtl.jpeg_integrity`; PNG by its checksums, its end chunk
and the length of its pixels; deflated TIFF by zlib's checksums, JPEG in TIFF as JPEG, every TIFF by
the number and the extent of its strips; AVIF, HEIF and lossy WebP by zeros where compressed data
should be, as half-copied files have them. Lossless WebP, BMP, PPM and uncompressed or LZW TIFF hold
nothing to compare with: only missing bytes show.
"""

from pathlib import Path

from PIL import Image

from mtl.iso_media import coded_extents
from mtl.jpeg_integrity import check_jpeg
from mtl.png_chunks import check_png
from mtl.tiff_integrity import check_tiff

# Zeros in a row that no arithmetic coder writes: AV1 and HEVC wrote at most 3 for flat colours,
# gradients, text and noise of 3000 x 2000 pixels.
ZEROS = 64
# VP8 writes longer runs for flat areas, at the end of its data and at most 6 % of them there.
VP8_SHARE = 0.25


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
        _check_webp(data)
    elif kind in ("AVIF", "HEIF"):
        data = path.read_bytes()
        for start, end in coded_extents(data):
            if end > len(data):
                raise ValueError("truncated")
            if data.find(bytes(ZEROS), start, end) >= 0:
                raise ValueError("damaged: a part of its compressed data is zeros")


def _check_webp(data: bytes) -> None:
    """Refuse lossy streams of which a large part is zeros."""
    position = len(b"RIFF....WEBP")
    while position + 8 <= len(data):
        name = data[position : position + 4]
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        stream = data[position + 8 : position + 8 + length]
        zeros = len(stream) - len(stream.rstrip(b"\0"))
        if name == b"VP8 " and zeros > max(ZEROS, VP8_SHARE * length):
            raise ValueError("damaged: a part of its compressed data is zeros")
        position += 8 + length + length % 2
