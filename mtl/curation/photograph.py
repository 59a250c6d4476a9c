"""Decoding a photograph for the pristine stage, by rules that leave no colour to chance.

The result is 8-bit RGB in the sRGB colour space, turned as its EXIF orientation says:

- An embedded ICC profile is applied, of RGB, grey and CMYK pictures alike: relative colorimetric
  with black point compensation. One that moves no colour by more than one level is sRGB itself, and
  the pixels stay as they are. One that is damaged, or belongs to another kind of picture, leaves
  the colours unknown: rejected.
- Without a profile, RGB and grey are taken for sRGB; CMYK has no colours then: rejected. EXIF's and
  PNG's other notes on colour (ColorSpace, gAMA, cHRM) are not looked at.
- Grey is repeated on three channels, palettes are looked up.
- 16-bit grey is divided by 257, of 16-bit colour the upper eight bits are kept; then the profile.
- A damaged file is rejected, also where decoders fill the damage in
  (`mtl.runtime.pictures.picture_integrity`).
- An alpha channel that is opaque everywhere is dropped; a picture that shows through is rejected.
- Animated PNG, WebP and GIF are rejected; of a TIFF or MPO file with several pictures (pages,
  previews, a stereo pair), the first is taken.
- JPEG is decoded at full size: decoding it smaller (Pillow's draft mode) is not area averaging.

Only the pristine stage applies profiles. Scores, features and predictions read pixels as they are
stored, as the programs do by which the published figures were made (MATLAB's imread, Keras).
"""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

from mtl.runtime.files import InputError
from mtl.runtime.pictures.decoders import decoding, opened, upright_eight_bit

ANIMATIONS = ("GIF", "PNG", "WEBP")  # formats whose further pictures are frames in time

# Pillow's mode of the pictures that an ICC colour space, by its signature, describes.
PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}

# Levels of 255 by which a conversion from sRGB to sRGB may move a colour: profiles hold sRGB's
# curve and primaries rounded to 16 bits, as a table or as a formula.
SRGB_TOLERANCE = 1
GRID = 17  # colours a side of the cube on which a profile is compared with sRGB

STRIP = 256  # rows converted at a time, so that a large picture is held twice and not four times


def read_photograph(path: str | os.PathLike) -> UInt8[np.ndarray, "h w 3"]:
    """Decode one photograph to sRGB by the rules at the top of this module.

    Raises:
        InputError: the file is missing, damaged, or rejected by a rule.
    """
    path = Path(path)
    with opened(path) as picture:
        if picture.format in ANIMATIONS and getattr(picture, "is_animated", False):
            raise InputError(f"{path}: is animated; save one frame of it as a picture")
        profile = picture.info.get("icc_profile")
        upright = upright_eight_bit(path, picture)
        with decoding(path):
            if upright.has_transparency_data:
                with_alpha = upright if "A" in upright.getbands() else upright.convert("RGBA")
                if with_alpha.getchannel("A").getextrema() != (255, 255):
                    raise InputError(f"{path}: is partly transparent; save it without transparency")
            try:
                to_srgb = _conversion(upright.mode, profile)
            except ValueError as error:
                raise InputError(f"{path}: {error}; convert it to sRGB") from error
            image = np.empty((upright.height, upright.width, 3), np.uint8)
            for top in range(0, upright.height, STRIP):
                bottom = min(top + STRIP, upright.height)
                strip = upright.crop((0, top, upright.width, bottom))
                image[top:bottom] = np.asarray(to_srgb(strip))
    return image


def _conversion(mode: str, profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """What turns pictures of a Pillow mode into sRGB, by their ICC profile if they have one.

    Raises:
        ValueError: the profile, or its absence, leaves the colours unknown.
    """
    if not profile:
        if mode == "CMYK":
            raise ValueError("is CMYK without a colour profile, so that its colours are unknown")
        return lambda picture: picture.convert("RGB")
    space = profile[16:20].decode("latin-1").strip()  # the header's data colour space
    through = PROFILE_MODES.get(space)
    kind = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}.get(mode, "RGB")
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    if through == "L":  # LittleCMS's shortcut for curves is ten levels off in the darkest grey
        flags |= ImageCms.Flags.NOOPTIMIZE
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Grey pixels are colours too, so an RGB profile says what they are.
        if through is None or (through != kind and (through, kind) != ("RGB", "L")):
            raise ValueError(f"its colour profile is for {space}, its pixels are {mode}")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            through,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags,
        )
    except (OSError, ImageCms.PyCMSError) as error:
        raise ValueError("its colour profile is damaged") from error
    if through == "RGB" and _is_srgb(transform):
        return lambda picture: picture.convert("RGB")
    return lambda picture: transform.apply(picture.convert(through))


def _is_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform from RGB to sRGB changes next to nothing."""
    levels = np.linspace(0, 255, GRID).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(GRID, -1, 3)
    difference = np.asarray(transform.apply(Image.fromarray(cube)), np.int16) - cube
    return bool(np.abs(difference).max() <= SRGB_TOLERANCE)
