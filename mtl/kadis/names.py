"""Names of distorted pictures, as KADID-10k and KADIS-700k have them: REFERENCE_TYPE_LEVEL.png.

I01_05_03.png is I01.png with distortion 5 at level 3. KADIS-700k's table of scores writes a short
name in the place of the type's number, I01_colorshift_03.bmp, where the script that comes with it
writes the picture as I01_05_03.bmp; both are read here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from distortions import DISTORTIONS
from mtl.kadis.recipes import LEVELS

SHORT_NAMES: Mapping[str, int] = {
    "gblur": 1,
    "lblur": 2,
    "mblur": 3,
    "colordiffuse": 4,
    "colorshift": 5,
    "colorquantize": 6,
    "colorsaturate": 7,
    "saturate": 8,
    "jp2k": 9,
    "jpeg": 10,
    "noisegauss": 11,
    "noisecolorcomp": 12,
    "noiseimpulse": 13,
    "noisemultiplicative": 14,
    "denoise": 15,
    "brighten": 16,
    "darken": 17,
    "meanshift": 18,
    "jitter": 19,
    "noneccentricity": 20,
    "pixelate": 21,
    "noisequantize": 22,
    "colorblock": 23,
    "sharpenhi": 24,
    "contrastchange": 25,
}
"""Types as KADIS-700k's table of scores names them, in lower case, with their numbers."""

LOSSLESS = (".png", ".bmp")


def version_name(stem: str, distortion: int, level: int, suffix: str = ".png") -> str:
    """Name of a distorted version of the reference `stem`."""
    return f"{stem}_{distortion:02d}_{level:02d}{suffix}"


def parse_version(name: str) -> tuple[str, int, int]:
    """The reference's stem, the distortion and the level in a distorted picture's name.

    Raises:
        ValueError: the name is not of this form, or has no such type or level.
    """
    rest, _, last = str(PurePosixPath(name).with_suffix("")).rpartition("_")
    stem, _, kind = rest.rpartition("_")
    level = _number(last)
    distortion = SHORT_NAMES.get(kind.lower(), _number(kind))
    if not stem or distortion is None or level is None:
        raise ValueError("is not named REFERENCE_TYPE_LEVEL, such as I01_05_03.png")
    if distortion not in DISTORTIONS:
        raise ValueError(f"says type {kind}; types are 1 to {max(DISTORTIONS)}")
    if level not in LEVELS:
        raise ValueError(f"says level {last}; levels are {LEVELS[0]} to {LEVELS[-1]}")
    return stem, distortion, level


def files_of(name: str) -> list[str]:
    """Where the picture that a table calls `name` may be: first under that name.

    Raises:
        ValueError: as `parse_version`.
    """
    version = parse_version(name)
    return list(dict.fromkeys([name, *(version_name(*version, suffix) for suffix in LOSSLESS)]))


def exported_stems(references: Iterable[str]) -> dict[str, str]:
    """What references are called in exported names, without suffix: SUB/NAME.jpg is SUB/NAME.

    Those that differ in nothing but suffix or case keep the suffix: NAME.jpg and NAME.png are
    NAME.jpg and NAME.png, so that the picture of the first is NAME.jpg_05_03.png.
    """
    references = list(references)
    whole: set[str] = set()
    while True:
        stems = {
            name: name if name in whole else str(PurePosixPath(name).with_suffix(""))
            for name in references
        }
        count = Counter(stem.casefold() for stem in stems.values())
        alike = {name for name, stem in stems.items() if count[stem.casefold()] > 1} - whole
        if not alike:
            return stems
        whole |= alike


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None
