"""Decoding picture files with Pillow, whatever is wrong with them.

Everything that a decoder raises becomes one `InputError` that names the file: Pillow's formats
raise TypeError, RuntimeError, struct.error, KeyError and more for damaged files. Errors of this
program's own code outside decoding are not caught.
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from mtl.exif import SIDEWAYS, orientation, upright
from mtl.file_names import encoding_hint
from mtl.files import InputError
from mtl.jpeg_segments import unread_kind
from mtl.picture_integrity import check_whole
from mtl.pillow_warnings import PILLOW_IS_QUIET
from mtl.tiff_layouts import TIFF_STARTS, described_layout, eight_bit_tiff

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

PNG_SIGNATURE, CHECKSUM = 8, 4  # bytes before the first chunk, and behind each (PNG, section 5)
JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG"

# The TIFF header of an EXIF item: its offset (4 bytes, 0 or 6), perhaps "Exif", then the header.
EXIF_ITEM = re.compile(rb"\0\0\0(?:\0|\x06Exif\0\0)(?:(II\*\0)|(MM\0\*))(.{4})", re.DOTALL)


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
    try:
        return Image.open(file)
    except Exception as error:
        # Pillow rewrites the EXIF block of an AVIF while opening it, which odd tags prevent.
        without = _without_exif(path)
        if without is not None:
            with suppress(Exception):
                return Image.open(io.BytesIO(without))
        if isinstance(error, UnidentifiedImageError):
            raise _unidentified(path) from error
        raise


def _unidentified(path: Path) -> InputError:
    """Say of a file that no decoder accepts what is known of it."""
    with path.open("rb") as file:
        start = file.read(12)
    if start.startswith(TIFF_STARTS):
        return InputError(
            f"{path}: is a TIFF that is damaged or of a kind that is not read"
            f" ({described_layout(path)}); save it as 8-bit RGB"
        )
    if start[4:8] == MEDIA_START and start[8:12] in HEIF_BRANDS and not HEIC:
        return InputError(f"{path}: is HEIC, which is not readable here; {HEIC_REMEDY}")
    kind = unread_kind(path.read_bytes()) if start.startswith(JPEG_START) else None
    if kind is not None:
        return InputError(f"{path}: is {kind}, which is not read; save it as PNG or 8-bit JPEG")
    if start[4:8] == MEDIA_START or start.startswith((JPEG_START, PNG_START)):
        return InputError(f"{path}: is a damaged or truncated picture; replace or remove it")
    return InputError(f"{path}: is not a picture; replace or remove it")


def _without_exif(path: Path) -> bytes | None:
    """Return an AVIF or HEIF file with its EXIF directories emptied, nothing moved.

    None where the file is neither or has no such directory.
    """
    with path.open("rb") as file:
        if file.read(8)[4:] != MEDIA_START:
            return None
    data = path.read_bytes()
    patched = bytearray(data)
    for item in EXIF_ITEM.finditer(data):
        header = item.start(1) if item.group(1) else item.start(2)
        first = header + int.from_bytes(item.group(3), "little" if item.group(1) else "big")
        patched[first : first + 2] = bytes(len(patched[first : first + 2]))
    return None if patched == data else bytes(patched)


def displayed_size(path: Path, picture: Image.Image) -> tuple[int, int]:
    """Return (height, width) of an opened picture as displayed.

    Raises:
        InputError: it is a PNG with an EXIF block behind pixels that cannot be decoded.
    """
    width, height = picture.size
    if picture.format == "PNG" and "exif" not in picture.info and _has_late_exif(path):
        with decoding(path):
            picture.load()
    # Pillow gives the size of a TIFF as displayed already.
    turned = picture.format != "TIFF" and orientation(picture) in SIDEWAYS
    return (width, height) if turned else (height, width)


def _has_late_exif(path: Path) -> bool:
    """Tell whether a PNG has a chunk of EXIF; chunk headers alone are read."""
    with path.open("rb") as file:
        file.seek(PNG_SIGNATURE)
        while len(header := file.read(8)) == 8:
            if header[4:] == b"eXIf":
                return True
            file.seek(int.from_bytes(header[:4], "big") + CHECKSUM, os.SEEK_CUR)
    return False


def upright_eight_bit(path: Path, picture: Image.Image) -> Image.Image:
    """Decode an opened picture to 8 bits, turned as its EXIF orientation says.

    Grey of 16 and 12 bits is divided by 257 and by 4095/255, and rounded. Of other 16-bit pixels
    Pillow keeps the upper eight bits.

    Raises:
        InputError: the pixels are damaged, have no fixed range or a layout that is not read.
    """
    size = displayed_size(path, picture)
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
