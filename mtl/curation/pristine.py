"""The pristine stage: a photograph is scaled to span the target size, then cropped to it.

DeepFL-IQA (Lin, Hosu, Saupe 2020, arXiv:2001.08113), section III-A: "rescaled to span (one
dimension fits, the other is larger or equal) the same resolution as that in TID2013 (512×384),
maintaining the pixel aspect ratios, followed by cropping to exactly fit the final resolution".
"""

import cv2
import numpy as np
from jaxtyping import UInt8

SIZE = (384, 512)  # height, width of every image of KADID-10k and KADIS-700k


def too_small(shape: tuple[int, int], size: tuple[int, int] = SIZE) -> str | None:
    """Why a photograph of (height, width) `shape` cannot span `size`; None when it can.

    Enlarging would make a blurred picture count as pristine, so it is refused.
    """
    (height, width), (target_height, target_width) = shape, size
    if height >= target_height and width >= target_width:
        return None
    return (
        f"{width}×{height} is smaller than {target_width}×{target_height};"
        " use a larger photograph or a smaller --size"
    )


def spanned_shape(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a photograph of `shape` when scaled to span `size`: one side fits.

    The other side is larger or equal; the aspect ratio is kept to half a pixel.
    """
    scale = spanning_scale(shape, size)
    return max(size[0], round(shape[0] * scale)), max(size[1], round(shape[1] * scale))


def spanning_scale(shape: tuple[int, int], size: tuple[int, int]) -> float:
    """The factor by which a photograph of (height, width) `shape` is scaled to span `size`."""
    return max(size[0] / shape[0], size[1] / shape[1])


def span(
    photograph: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], *, enlarge: bool = False
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Scale to span `size` (height, width): by area interpolation when it gets smaller.

    With `enlarge`, a photograph that is smaller than `size` is scaled up by cubic interpolation.

    Raises:
        ValueError: without `enlarge`, the photograph is smaller than `size` in either direction.
    """
    shape = photograph.shape[:2]
    reason = too_small(shape, size)
    if reason and not enlarge:
        raise ValueError(reason)
    spanned = spanned_shape(shape, size)
    if spanned == shape:
        return photograph
    interpolation = cv2.INTER_CUBIC if reason else cv2.INTER_AREA
    return cv2.resize(photograph, spanned[::-1], interpolation=interpolation)


def centre_offsets(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """(top, left) of the centre crop of `size` in an image of (height, width) `shape`."""
    return (shape[0] - size[0]) // 2, (shape[1] - size[1]) // 2


def crop(
    image: UInt8[np.ndarray, "h w 3"], offsets: tuple[int, int], size: tuple[int, int]
) -> UInt8[np.ndarray, "_ _ 3"]:
    """The part of (height, width) `size` whose upper left corner is at (top, left) `offsets`."""
    (top, left), (height, width) = offsets, size
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def pristine_crop(
    photograph: UInt8[np.ndarray, "h w 3"], size: tuple[int, int] = SIZE
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Scale to span `size` (height, width) by area interpolation, then crop the centre to it.

    Raises:
        ValueError: the photograph is smaller than `size` in either direction.
    """
    spanned = span(photograph, size)
    return crop(spanned, centre_offsets(spanned.shape[:2], size), size)
