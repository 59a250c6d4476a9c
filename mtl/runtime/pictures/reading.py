"""Reading a user's pictures: which files, how they are decoded, and what is wrong with them.

The rule for every picture that enters the system: 8-bit RGB, (H, W, 3), values 0..255, the EXIF
orientation applied. Grey is repeated on three channels, palettes are looked up, an alpha channel is
dropped, CMYK is converted by Pillow without a colour profile. 16-bit grey is divided by 257 and
rounded, 12-bit grey likewise by 4095/255; of 16-bit colour, and of 16-bit grey with alpha, the
upper eight bits are kept. `mtl.runtime.pictures.tiff_layouts` says which TIFFs are read. An
embedded colour profile and PNG's gamma are ignored; only the pristine stage applies a profile
(mtl.curation.photograph).

Damaged files are refused, also where decoders would fill the damage in
(`mtl.runtime.pictures.picture_integrity`).
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mtl.runtime.file_names import PICTURE_SUFFIXES
from mtl.runtime.files import InputError
from mtl.runtime.paths.folders import Contents, contents
from mtl.runtime.pictures.decoders import (
    decoding,
    displayed_size,
    opened,
    upright_eight_bit,
)

# Pictures that photographers have and this program does not read; named rather than passed over.
FOREIGN_SUFFIXES = (
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"),  # cameras' raw files
    *(".gif", ".jp2", ".jxl"),
)

SHOWN = 8  # suffixes or links that are named in a line

ROWS_AT_A_TIME = 256

# The fastest deflate level and one filter for all rows, which takes a third less time than choosing
# one for each and makes files of photographs a hundredth larger. The pixels are the same always.
PNG_OPTIONS = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG),
)


@dataclass(frozen=True)
class Rejected:
    """A picture that was left out, and why."""

    file: str
    reason: str

    @classmethod
    def of(cls, file: str, path: Path, error: Exception) -> "Rejected":
        """From an error about `path`, which is named `file` where the record is kept."""
        return cls(file, str(error).removeprefix(f"{path}: "))


def list_pictures(
    folder: str | os.PathLike, tell: Callable[[str], None] | None = None
) -> list[str]:
    """Return the names of all picture files under `folder`, relative, forward slashes, sorted.

    Sub-folders and linked folders are searched, each once (`mtl.runtime.paths.folders`); hidden
    files and folders are not. Links that lead nowhere are among the names where their suffix is a
    picture's.

    Args:
        folder: where to look.
        tell: called with a line for each kind of thing that is passed over.

    Raises:
        InputError: the folder does not exist, is a file, or holds no file with a picture's suffix.
    """
    root = Path(folder)
    if not root.exists():
        raise InputError(f"{root}: no such folder; give a folder that holds photographs")
    if not root.is_dir():
        raise InputError(f"{root}: is a file; give the folder that holds the photographs")
    found = contents(root)
    if tell is not None:
        for line in _passed_over(root, found):
            tell(line)
    names = sorted(
        name for name in (*found.files, *found.broken) if _suffix(name) in PICTURE_SUFFIXES
    )
    if not names:
        raise InputError(
            f"{root}: holds no pictures; put files ending in {' '.join(PICTURE_SUFFIXES)} there"
        )
    return names


def _passed_over(root: Path, found: Contents) -> Iterator[str]:
    """Yield a line for each kind of thing that is not among the pictures."""
    others = Counter(s for s in map(_suffix, found.files) if s not in PICTURE_SUFFIXES)
    foreign = {s: n for s, n in others.items() if s in FOREIGN_SUFFIXES}
    if foreign:
        yield (
            f"{root}: {_files(foreign, 'is a picture', 'are pictures')} of a kind that is not read"
            f" ({_some(foreign)}); convert to PNG, TIFF or JPEG"
        )
    rest = {s or "no suffix": n for s, n in others.items() if s not in FOREIGN_SUFFIXES}
    if rest:
        passed = _files(rest, "is no picture and was", "are no pictures and were")
        yield f"{root}: {passed} passed over ({_some(rest)})"
    links = [name for name in found.broken if _suffix(name) not in PICTURE_SUFFIXES]
    if links:
        yield f"{root}: links that lead nowhere were passed over ({_some(links)})"
    if found.closed:
        yield f"{root}: folders that may not be listed were passed over ({_some(found.closed)})"


def _files(numbers: Mapping[str, int], one: str, several: str) -> str:
    number = sum(numbers.values())
    return f"{number} file{'' if number == 1 else 's'} {one if number == 1 else several}"


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return " ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """(height, width) as displayed, from the header alone.

    Raises:
        InputError: the file is missing or its header is not that of a picture.
    """
    with opened(path) as picture:
        return displayed_size(picture)


def read_picture(path: str | os.PathLike) -> UInt8[np.ndarray, "h w 3"]:
    """Decode one picture to 8-bit RGB by the rule at the top of this module.

    Raises:
        InputError: the file is missing, no picture, damaged, or of a layout that is not read.
    """
    path = Path(path)
    with opened(path) as picture:
        upright = upright_eight_bit(path, picture)
        with decoding(path):
            rgb = upright if upright.mode == "RGB" else upright.convert("RGB")
        return _pixels(rgb)


def _pixels(picture: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of an RGB picture, copied once; `np.array` holds a large picture three times."""
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top in range(0, picture.height, ROWS_AT_A_TIME):
        bottom = min(top + ROWS_AT_A_TIME, picture.height)
        pixels[top:bottom] = picture.crop((0, top, picture.width, bottom))
    return pixels


def encode_png(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Lossless PNG bytes of an 8-bit RGB image."""
    done, buffer = cv2.imencode(".png", image[..., ::-1], PNG_OPTIONS)
    if not done:
        raise RuntimeError(f"OpenCV could not encode an image of shape {image.shape} as PNG")
    return buffer.tobytes()
