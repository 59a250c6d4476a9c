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


def pristine_crop(
    photograph: UInt8[np.ndarray, "h w 3"], size: tuple[int, int] = SIZE
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Scale to span `size` (height, width) by area interpolation, then crop the centre to it.

    Raises:
        ValueError: the photograph is smaller than `size` in either direction.
    """
    height, width = photograph.shape[:2]
    reason = too_small((height, width), size)
    if reason:
        raise ValueError(reason)
    scale = max(size[0] / height, size[1] / width)
    spanned = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    if spanned != (height, width):
        photograph = cv2.resize(photograph, spanned[::-1], interpolation=cv2.INTER_AREA)
    top, left = (spanned[0] - size[0]) // 2, (spanned[1] - size[1]) // 2
    return np.ascontiguousarray(photograph[top : top + size[0], left : left + size[1]])
