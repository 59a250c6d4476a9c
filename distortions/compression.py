"""Compression: JPEG (10)."""

import cv2
import numpy as np

from distortions._matlab import MAX_8BIT, FloatImage, to_8bit

JPEG_MAX_SIDE = 65500  # pixels; the limit of libjpeg


def jpeg(image: FloatImage, quality: float) -> FloatImage:
    """Encode as baseline JPEG of `quality` (1..100, as in libjpeg) and decode.

    4:2:0 chroma, accurate integer DCT and smooth chroma upsampling, the defaults of libjpeg and
    of MATLAB's `imwrite`.

    Raises:
        ValueError: a side is longer than JPEG allows.
    """
    if max(image.shape[:2]) > JPEG_MAX_SIDE:
        raise ValueError(
            f"JPEG holds at most {JPEG_MAX_SIDE} pixels a side, the image is "
            f"{image.shape[1]}x{image.shape[0]}; crop or scale it first"
        )
    parameters = [
        cv2.IMWRITE_JPEG_QUALITY,
        int(quality),
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    bgr = cv2.cvtColor(to_8bit(image), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, parameters)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError("OpenCV could not decode the JPEG it has just encoded")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.float64) / MAX_8BIT
