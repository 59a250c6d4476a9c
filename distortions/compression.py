"""Compression: JPEG2000 (09) and JPEG (10)."""

import io

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from distortions._matlab import MAX_8BIT, FloatImage, to_8bit

JPEG_MAX_SIDE = 65500  # pixels; the limit of libjpeg
JPEG2000_DECOMPOSITIONS = 5  # wavelet levels, the default of OpenJPEG


def jpeg2000(image: FloatImage, ratio: float) -> FloatImage:
    """Encode as JPEG2000 of 1 / `ratio` of the raw 8-bit size, and decode. See `encode_jpeg2000`.

    OpenJPEG stands for MATLAB's encoder; between encoders of one file size the PSNR differs by
    less than half a decibel. A constant picture is kept: the codec may be one grey level off in
    places, which the stretch that follows would turn into black and white.
    """
    pixels = to_8bit(image)
    if pixels.min() == pixels.max():
        return image.copy()
    # Not `Image.open`, which warns of large pictures as of attacks.
    with Jpeg2KImageFile(io.BytesIO(encode_jpeg2000(pixels, ratio))) as decoded:
        return np.asarray(decoded) / MAX_8BIT


def encode_jpeg2000(pixels: UInt8[np.ndarray, "h w 3"], ratio: float) -> bytes:
    """Return a JP2 file of about `pixels.size / ratio` bytes, or of the few hundred it needs.

    Irreversible 9/7 wavelet and colour transform, one layer, one tile, five decompositions, or as
    many as halve the shorter side down to one pixel.
    """
    decompositions = min(JPEG2000_DECOMPOSITIONS, min(pixels.shape[:2]).bit_length() - 1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(
        file,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=[ratio],
        irreversible=True,
        mct=1,
        num_resolutions=decompositions + 1,
    )
    return file.getvalue()


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
