"""Bring pixels to what weights expect: the rows of the table SCALINGS."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scaling:
    """Maps pixels x, RGB, 0..255, to (x - offset) / divisor."""

    offset: float | tuple[float, float, float]
    """Of all channels, or of each, in the order that the network sees."""
    divisor: float
    formula: str
    """In words."""
    users: str
    """Who feeds networks so, in words."""
    bgr: bool = False
    """Give the network blue first."""

    def __call__(self, images: Any) -> Any:
        """Return the scaled pixels as float32.

        Args:
            images: (..., 3), pixels 0..255, an array of NumPy or JAX.
        """
        x = images.astype(np.float32)
        x = x[..., ::-1] if self.bgr else x
        offset = self.offset
        if isinstance(offset, tuple):
            return (x - np.array(offset, np.float32)) / self.divisor
        return (x - offset) / self.divisor


SCALINGS: Mapping[str, Scaling] = MappingProxyType(
    {
        "minus_one_to_one": Scaling(
            127.5, 127.5, "x/127.5 - 1", "as Keras' preprocess_input gives them"
        ),
        "zero_to_one": Scaling(0.0, 255.0, "x/255", "as the DeepFL-IQA authors give them"),
        # Means of ImageNet's blue, green and red, as in keras/src/applications/imagenet_utils.py.
        "caffe": Scaling(
            (103.939, 116.779, 123.68),
            1.0,
            "blue, green, red less 103.939, 116.779, 123.68",
            "as Keras' preprocess_input gives them for networks from Caffe",
            bgr=True,
        ),
        # MEAN_RGB and STDDEV_RGB of Google's efficientnet/lite/efficientnet_lite_builder.py.
        "efficientnet_lite": Scaling(
            127.0, 128.0, "(x - 127)/128", "as EfficientNet-Lite's authors give them"
        ),
        "zero_to_255": Scaling(0.0, 1.0, "x", "for networks that normalise pixels themselves"),
        # The mean over all places of Caffe's mean image of ImageNet, ilsvrc_2012_mean.npy.
        "caffenet": Scaling(
            (104.00698793, 116.66876762, 122.67891434),
            1.0,
            "blue, green, red less 104.00698793, 116.66876762, 122.67891434",
            "as Caffe's examples give them for its reference networks",
            bgr=True,
        ),
    }
)
