"""The one thing that is read of an EXIF block: how the picture is turned."""

from PIL import Image

from mtl.runtime.pictures.pillow_warnings import PILLOW_IS_QUIET

ORIENTATION = 0x0112  # tag of TIFF 6.0 and EXIF 2.3

# What turns stored pixels upright, by the value of the orientation tag (EXIF 2.3, section 4.6.4).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange height and width


def orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation of an opened picture, 1..8; 1 where its EXIF block is broken."""
    try:
        with PILLOW_IS_QUIET:
            # That of Pillow's PNG decodes the pixels first.
            found = Image.Image.getexif(picture).get(ORIENTATION, 1)
        if isinstance(found, bytes) and len(found) == 1:  # of type BYTE or UNDEFINED
            found = found[0]
        return int(found) if found in TURNS else 1
    except Exception:  # tags of any type and length: nothing else is needed of them
        return 1


def upright(picture: Image.Image, value: int) -> Image.Image:
    """Turn stored pixels as an orientation says."""
    return picture.transpose(TURNS[value]) if value in TURNS else picture
