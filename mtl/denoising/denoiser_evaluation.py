"""How well a denoiser does on photographs: PSNR with Gaussian noise, before and after."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture
from mtl.runtime.progress import progress_bar, say

# Longer sides are scaled down to this, pixels: it makes pictures of one scale, and takes the noise
# and the compression of large photographs out of the targets.
LONGEST_SIDE = 768


def read_scaled(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A photograph of at most LONGEST_SIDE pixels a side.

    Raises:
        InputError: it cannot be read.
    """
    image = read_picture(path)
    scale = LONGEST_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def evaluate(
    remove_noise: Callable[[np.ndarray, float], np.ndarray],
    folder: Path,
    names: Sequence[str],
    sigmas: Sequence[float],
    *,
    seed: int = 0,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """PSNR in dB of grey photographs with unclipped Gaussian noise, before and after.

    Args:
        remove_noise: from a noisy plane, 0..1, and the standard deviation of its noise in grey
            levels, which a blind denoiser ignores.
        folder: where the photographs are.
        names: which of them.
        sigmas: standard deviations, grey levels.
        seed: decides the noise.
        progress: whether to show a progress bar.

    Returns:
        A row per photograph and standard deviation: photograph, sigma, noisy, denoised, seconds.
        A photograph that cannot be read has none and is named in the progress.

    Raises:
        InputError: none of the photographs can be read.
    """
    rows = []
    with progress_bar(len(names), "evaluating", "photo", show=progress) as bar:
        for index, name in enumerate(names):
            bar.update()
            try:
                gray = cv2.cvtColor(read_scaled(folder / name), cv2.COLOR_RGB2GRAY) / 255
            except InputError as error:
                say(f"left out: {error}", show=progress)
                continue
            for sigma in sigmas:
                rng = np.random.default_rng((seed, index, round(10 * sigma)))
                noisy = gray + sigma / 255 * rng.standard_normal(gray.shape)
                start = time.perf_counter()
                denoised = remove_noise(noisy, sigma)
                seconds = time.perf_counter() - start
                rows.append(
                    {
                        "photograph": name,
                        "sigma": sigma,
                        "noisy": psnr(noisy, gray),
                        "denoised": psnr(denoised, gray),
                        "seconds": seconds,
                    }
                )
    if not rows:
        raise InputError(f"{folder}: none of the {len(names)} photographs held out can be read")
    return rows


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of intensities in 0..1."""
    return float(-10 * np.log10(np.mean((image - reference) ** 2)))
