"""The metrics of other libraries under our names, called as their documentation shows.

A library is imported when it is asked for. piq and pyiqa, which need PyTorch, are no requirement of
this package: where one is not installed, its figures are missing. Both take the distorted picture
first, and the reference, which they call the target, second.
"""

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from mtl.runtime.progress import say

Reference = UInt8[np.ndarray, "h w 3"]
Versions = UInt8[np.ndarray, "n h w 3"]
Call = Callable[[], Sequence[Any]]
"""Scores the pairs it was made for: one number per version."""

# Each library's name of the metrics it has; the others it lacks.
PIQ = {
    "ssim": "ssim",
    "ms_ssim": "multi_scale_ssim",
    "iw_ssim": "information_weighted_ssim",
    "mdsi": "mdsi",
    "vsi": "vsi",
    "fsimc": "fsim",
    "gmsd": "gmsd",
    "sr_sim": "srsim",
}
PYIQA = {"ssim": "ssim", "ms_ssim": "ms_ssim", "vsi": "vsi", "fsimc": "fsim", "gmsd": "gmsd"}


@dataclass(frozen=True)
class Library:
    """Another library with some of the metrics."""

    module: str
    """What is imported."""
    packages: tuple[str, ...]
    """Distributions whose versions belong to its figures."""
    calls: Callable[[Reference, Versions], dict[str, Call]]
    """By metric, the scoring of versions of a reference, all pictures converted beforehand."""


def piq_calls(reference: Reference, distorted: Versions) -> dict[str, Call]:
    """piq's functions on RGB in 0..1."""
    import piq  # type: ignore[import-not-found]

    references, versions = _tensors(reference, distorted)
    return {
        metric: functools.partial(_without_gradient, getattr(piq, name), versions, references)
        for metric, name in PIQ.items()
    }


def pyiqa_calls(reference: Reference, distorted: Versions) -> dict[str, Call]:
    """pyiqa's metrics as `create_metric` makes them, on RGB in 0..1."""
    references, versions = _tensors(reference, distorted)
    return {
        metric: functools.partial(_pyiqa_metric(name), versions, references)
        for metric, name in PYIQA.items()
    }


def scikit_image_calls(reference: Reference, distorted: Versions) -> dict[str, Call]:
    """SSIM as scikit-image's documentation says to match Wang et al., on gray in 0..1."""
    settings: dict[str, Any] = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 1.0,
    }
    gray, versions = rgb2gray(reference), rgb2gray(distorted)
    return {"ssim": lambda: [structural_similarity(gray, each, **settings) for each in versions]}


LIBRARIES: Mapping[str, Library] = {
    "piq": Library("piq", ("piq", "torch"), piq_calls),
    "pyiqa": Library("pyiqa", ("pyiqa", "torch"), pyiqa_calls),
    "scikit_image": Library("skimage", ("scikit-image",), scikit_image_calls),
}
"""By the name of their columns."""


def installed_libraries() -> dict[str, Library]:
    """Those of the libraries that can be imported; the others are named on the terminal."""
    found = {}
    for name, library in LIBRARIES.items():
        if importlib.util.find_spec(library.module):
            found[name] = library
        else:
            say(f"{name} is not installed (pip install {name}): its columns stay empty")
    return found


def packages(libraries: Mapping[str, Library]) -> list[str]:
    """The distributions of several libraries, each once."""
    return list(dict.fromkeys(name for each in libraries.values() for name in each.packages))


def _tensors(reference: Reference, distorted: Versions) -> tuple[Any, Any]:
    """As many references as versions, and the versions: (n, 3, h, w), float32 in 0..1."""
    import torch  # type: ignore[import-not-found]

    versions = torch.from_numpy(distorted).permute(0, 3, 1, 2).contiguous() / 255
    references = torch.from_numpy(reference).permute(2, 0, 1)[None].contiguous() / 255
    return references.repeat(len(distorted), 1, 1, 1), versions


def _without_gradient(function: Callable[..., Any], versions: Any, references: Any) -> Any:
    import torch  # type: ignore[import-not-found]

    with torch.no_grad():
        return function(versions, references, data_range=1.0, reduction="none")


@functools.cache
def _pyiqa_metric(name: str) -> Callable[[Any, Any], Any]:
    import pyiqa  # type: ignore[import-not-found]

    return pyiqa.create_metric(name, device="cpu")
