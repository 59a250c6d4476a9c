"""Decoding picture files with Pillow, whatever is wrong with them.

Everything that a decoder raises becomes one `InputError` that names the file: Pillow's formats
raise TypeError, RuntimeError, struct.error, KeyError and more for damaged files. Errors of this
program's own code outside decoding are not caught.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from mtl.runtime.file_names import encoding_hint
from mtl.runtime.files import InputError
from mtl.runtime.pictures.exif import SIDEWAYS, orientation, upright
from mtl.runtime.pictures.iso_media import without_exif
from mtl.runtime.pictures.jpeg_segments import unread_kind
from mtl.runtime.pictures.picture_integrity import check_whole
from mtl.runtime.pictures.pillow_warnings import PILLOW_IS_QUIET
from mtl.runtime.pictures.png_chunks import PNG_START, without_metadata
from mtl.runtime.pictures.tiff_layouts import TIFF_STARTS, described_layout, eight_bit_tiff

try:
    import pillow_heif
except ImportError:  # the optional extra `heic`
    HEIC = False
else:
    pillow_heif.register_heif_opener()
    HEIC = True

HEIC_REMEDY = "install pillow-heif (pip install 'deepfl-iqa[heic]') or convert it to PNG or JPEG"

PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}

DIRECTORIES = (0x8769, 0x8825, 0xA005)  # EXIF, GPS, Interoperability: tags of a TIFF that point on

# ISO base media files (AVIF, HEIF) begin with a box of this type after its four bytes of length.
MEDIA_START = b"ftyp"
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

JPEG_START = b"\xff\xd8\xff"

# First bytes of PostScript, PDF, Photoshop, JPEG 2000 and JPEG XL.
FOREIGN_STARTS = (b"%!PS", b"%PDF", b"8BPS", b"\0\0\0\x0cjP  ", b"\xff\x0a", b"\0\0\0\x0cJXL ")

# Formats as Pillow names them; GIF is for the rule on animations, and MPO is among JPEG. Pillow
# would open others whatever the file is named, and hand EPS to Ghostscript.
READ = (
    *("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"),
    *(("HEIF",) if HEIC else ()),
)

# Pillow refuses pictures of over twice its limit, 179 megapixels; cameras make 200.
MEGAPIXELS = 500
Image.MAX_IMAGE_PIXELS = MEGAPIXELS * 10**6 // 2


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises in the block into an error about `path`.

    Only calls of decoders belong into the block. KeyboardInterrupt and SystemExit pass through.

    Raises:
        InputError: names the file, the decoder's reason and the remedy.
    """
    try:
        with PILLOW_IS_QUIET:
            yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, Image.DecompressionBombError):
            reason = f"it has over {MEGAPIXELS} megapixels, or is none"
        raise InputError(f"{path}: cannot be decoded ({reason}); replace or remove it") from error


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Context manager: a Pillow picture, its header read.

    Raises:
        InputError: the file is missing, is not a picture, or its header cannot be decoded.
    """
    path = Path(path)
    with decoding(path):
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give a picture file")
        if not path.exists():
            gone = "is a link to a file that is missing" if path.is_symlink() else "no such file"
            raise InputError(f"{path}: {gone}{encoding_hint([str(path)])}")
        if not path.is_file():
            raise InputError(f"{path}: is no file but a pipe or a device; give a picture file")
        # By its name, Pillow maps a TIFF into memory, and gets the rows of a turned one wrong.
        file = path.open("rb")
    with file:
        with decoding(path):
            picture = _open(path, file)
        with picture:
            yield picture


def _open(path: Path, file: BinaryIO) -> Image.Image:
    start = file.read(12)
    file.seek(0)
    try:
        if start.startswith(PNG_START):
            return _open_png(file.read())
        try:
            return Image.open(file, formats=READ)
        except Exception:
            if start[4:8] != MEDIA_START:
                raise
            # Pillow rewrites the EXIF block of an AVIF while opening it, which odd tags prevent.
            return Image.open(io.BytesIO(without_exif(path.read_bytes())), formats=READ)
    except UnidentifiedImageError as error:
        raise _unidentified(path, start) from error


def _open_png(data: bytes) -> Image.Image:
    """Open a PNG; faults of chunks on which no pixel depends do not matter."""
    chosen, profile = without_metadata(data)
    try:
        picture = Image.open(io.BytesIO(chosen), formats=READ)
    except Exception:
        chosen, _ = without_metadata(data, strict=True)
        picture = Image.open(io.BytesIO(chosen), formats=READ)
    if profile is not None:
        picture.info["icc_profile"] = profile
    return picture


def _unidentified(path: Path, start: bytes) -> InputError:
    """Say of a file that no decoder accepts, by its first bytes, what is known of it."""
    if start.startswith(TIFF_STARTS):
        return InputError(
            f"{path}: is a TIFF that is damaged or of a kind that is not read"
            f" ({described_layout(path)}); save it as 8-bit RGB PNG"
        )
    if start[4:8] == MEDIA_START and start[8:12] in HEIF_BRANDS and not HEIC:
        return InputError(f"{path}: is HEIC, which is not readable here; {HEIC_REMEDY}")
    kind = unread_kind(path.read_bytes()) if start.startswith(JPEG_START) else None
    if kind is not None:
        return InputError(f"{path}: is {kind}, which is not read; save it as PNG or 8-bit JPEG")
    if start[4:8] == MEDIA_START or start.startswith((JPEG_START, PNG_START)):
        return InputError(f"{path}: is a damaged or truncated picture; replace or remove it")
    if start.startswith(FOREIGN_STARTS):
        return InputError(f"{path}: is of a kind that is not read; convert it to PNG, TIFF or JPEG")
    return InputError(f"{path}: is not a picture; replace or remove it")


def displayed_size(picture: Image.Image) -> tuple[int, int]:
    """Return (height, width) of an opened picture as displayed."""
    width, height = picture.size
    # Pillow gives the size of a TIFF as displayed already.
    turned = picture.format != "TIFF" and orientation(picture) in SIDEWAYS
    return (width, height) if turned else (height, width)


def upright_eight_bit(path: Path, picture: Image.Image) -> Image.Image:
    """Decode an opened picture to 8 bits, turned as its EXIF orientation says.

    Grey of 16 and 12 bits is divided by 257 and by 4095/255, and rounded. Of other 16-bit pixels
    Pillow keeps the upper eight bits.

    Raises:
        InputError: the pixels are damaged, have no fixed range or a layout that is not read.
    """
    size = displayed_size(picture)
    with decoding(path):
        check_whole(path, picture)
        decoded = _decoded(path, picture)
        if (decoded.height, decoded.width) != size:
            raise ValueError("its size and its orientation contradict each other")
        # What Pillow converts to nothing but the same with plain alpha.
        plain = PREMULTIPLIED.get(decoded.mode)
        return decoded if plain is None else decoded.convert(plain)


def _decoded(path: Path, picture: Image.Image) -> Image.Image:
    """Return an opened picture with 8 bits a channel, turned."""
    if picture.format == "TIFF":
        # Pillow turns a TIFF itself, but first reads directories that nobody needs.
        exif = picture.getexif()
        for tag in DIRECTORIES:
            exif.pop(tag, None)
        return eight_bit_tiff(path, picture)
    picture.load()
    return upright(_eight_bit(picture), orientation(picture))


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Return a decoded picture with 8 bits a channel."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM"):
        deep = np.asarray(picture).astype(np.float32)  # Pillow scales any PGM to 0..65535
        grey = Image.fromarray(np.round(deep / 257).astype(np.uint8))
        clear = picture.info.get("transparency")
        if isinstance(clear, int):  # the one grey level that shows through
            grey.putalpha(Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8)))
        return grey
    if picture.mode in ("I", "F"):
        raise ValueError(f"{picture.mode} pixels have no fixed range; save it as 8 or 16 bit")
    return picture
