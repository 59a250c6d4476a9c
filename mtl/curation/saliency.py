"""Where to crop so that faces and salient regions stay inside.

KonIQ-10k (Hosu, Lin, Sziranyi, Saupe 2020, doi:10.1109/TIP.2020.2967829), section 3.3: an
importance map from faces, saliency and a bias to the centre; the crop has the largest sum of
importance times a kernel that is 1 inside and -1 on a border, so that no important thing is cut.
The paper gives neither the weights of the three maps nor the faces' extent; those here are ours.

Saliency is the spectral residual of Hou and Zhang 2007 (doi:10.1109/CVPR.2007.383267), with the
parameters of the authors' program; KonIQ-10k used another map. Faces are found by the frontal
cascade of local binary patterns that scikit-image brings along (it is OpenCV's). Faces in profile,
which KonIQ-10k kept too, are not searched for: OpenCV 5 has lost its Viola-Jones cascades.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from mtl.curation.pristine import centre_offsets

SALIENCY_SIDE = 64  # pixels of the longer side when the spectrum is taken (Hou and Zhang 2007)
SALIENCY_MEAN = 3  # taps of the spectrum's local mean (Hou and Zhang 2007)
SALIENCY_TAPS, SALIENCY_SIGMA = 9, 2.5  # Gaussian, pixels (authors' program: 10 taps, even)

FACE_VIEW = 256  # pixels of the crop's longer side where faces are searched for; a face is 24 there
FACE_SMALLEST = 24  # pixels, the window on which the cascade was trained
FACE_STEP = 1.2  # ratio of two neighbouring sizes of the window
FACE_MARGIN = 0.5  # of a face's side, added around it: hair, chin and some room
FACE_WEIGHT = 3.0  # importance of a face's pixels, where the most salient one has 1
CENTRE_WEIGHT = 0.15  # importance of the centre, where the most salient pixel has 1
CENTRE_SIGMA = 0.25  # standard deviation of the bias over the picture's side
BORDER = 10 / 1024  # width of the kernel's border over the crop's longer side (section 3.3)

# Offsets whose mean importance is equal to this many decimals are equally good.
DECIMALS = 9


def salient_offsets(image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> tuple[int, int]:
    """(top, left) of the most important crop of `size`; the one nearest the centre among equals.

    Raises:
        ValueError: the image is smaller than `size`.
    """
    height, width = image.shape[:2]
    if height < size[0] or width < size[1]:
        raise ValueError(f"{width}×{height} is smaller than the crop, {size[1]}×{size[0]}")
    if (height, width) == size:
        return 0, 0
    score = np.round(_crop_scores(importance(image, size), size), DECIMALS)
    top, left = centre_offsets((height, width), size)
    rows, columns = np.indices(score.shape)
    away = np.abs(rows - top) + np.abs(columns - left)
    best = np.argmin(np.where(score == score.max(), away, height + width))
    row, column = np.unravel_index(best, score.shape)
    return int(row), int(column)


def importance(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> Float[np.ndarray, "h w"]:
    """The importance of each pixel for a crop of `size`, 0 or more: saliency, faces, centre."""
    height, width = image.shape[:2]
    found = cv2.resize(spectral_residual(image), (width, height), interpolation=cv2.INTER_LINEAR)
    in_face = np.zeros((height, width), bool)
    for top, left, bottom, right in faces(image, size):
        margin = round(FACE_MARGIN * (bottom - top))
        in_face[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin] = 1
    y, x = (
        np.exp(-0.5 * ((np.arange(n) + 0.5) / n - 0.5) ** 2 / CENTRE_SIGMA**2)
        for n in (height, width)
    )
    return np.where(in_face, FACE_WEIGHT, found) + CENTRE_WEIGHT * y[:, None] * x


def spectral_residual(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "_ _"]:
    """The saliency map of Hou and Zhang 2007, 0..1, of at most 64×64 pixels; 0 for a flat picture.

    The log amplitude spectrum less its local mean, back in space with the phase of the picture,
    squared and smoothed.
    """
    scale = SALIENCY_SIDE / max(image.shape[:2])
    shape = tuple(max(1, round(side * scale)) for side in image.shape[:2])
    grey = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA).mean(axis=2)
    if grey.min() == grey.max():
        return np.zeros(shape)
    spectrum = np.fft.fft2(grey / 255)
    amplitude = np.abs(spectrum)
    log_amplitude = np.log(np.maximum(amplitude, np.finfo(float).eps * amplitude.max()))
    mean = cv2.blur(log_amplitude, (SALIENCY_MEAN,) * 2, borderType=cv2.BORDER_REPLICATE)
    residual = np.exp(log_amplitude - mean + 1j * np.angle(spectrum))
    energy = np.abs(np.fft.ifft2(residual)) ** 2
    smooth = cv2.GaussianBlur(energy, (SALIENCY_TAPS,) * 2, SALIENCY_SIGMA)
    return (smooth - smooth.min()) / max(np.ptp(smooth), np.finfo(float).tiny)


def faces(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Frontal faces as (top, left, bottom, right), sorted; those too small for the crop are not."""
    scale = min(1.0, FACE_VIEW / max(size))
    shape = tuple(max(1, round(side * scale)) for side in image.shape[:2])
    if min(shape) < FACE_SMALLEST:
        return []
    view = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
    found = Cascade(lbp_frontal_face_cascade_filename()).detect_multi_scale(
        img=view,
        scale_factor=FACE_STEP,
        step_ratio=1,
        min_size=(FACE_SMALLEST, FACE_SMALLEST),
        max_size=(min(shape), min(shape)),
    )
    return sorted(
        (
            round(f["r"] / scale),
            round(f["c"] / scale),
            round((f["r"] + f["height"]) / scale),
            round((f["c"] + f["width"]) / scale),
        )
        for f in found
    )


def _crop_scores(
    weight: Float[np.ndarray, "h w"], size: tuple[int, int]
) -> Float[np.ndarray, "_ _"]:
    """Mean of weight times kernel for each (top, left): 1 inside the border, -1 on it."""
    border = max(1, round(BORDER * max(size)))
    inner = (size[0] - 2 * border, size[1] - 2 * border)
    total = _box_sums(weight, size)
    if min(inner) < 1:
        return total / (size[0] * size[1])
    rows, columns = total.shape
    inside = _box_sums(weight, inner)[border : border + rows, border : border + columns]
    return (2 * inside - total) / (size[0] * size[1])


def _box_sums(weight: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "_ _"]:
    """The sum over each (height, width) `size` window, by its upper left corner."""
    sums = np.pad(weight, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    (h, w) = size
    return sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
