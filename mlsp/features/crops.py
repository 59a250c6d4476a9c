"""Random crops of pictures at their own resolution, and the pooling of what is said of them.

DeepBIQ: Bianco, Celona, Napoletano, Schettini, On the use of deep learning for blind image quality
assessment, Signal, Image and Video Processing 12, 2018, doi:10.1007/s11760-017-1166-8,
arXiv:1602.05531, sections 2.2 and 3.2: each picture is described by N random crops, "no scaling
operation is involved"; features are pooled (minimum, average, maximum) or concatenated, or a score
is predicted for each crop and the scores are pooled.

The paper's crops are 227×227, what CaffeNet takes; 299×299 is what InceptionResNetV2 was made for.
A picture smaller than a crop is cropped to what is there: along that side the crop is the picture.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8

from mlsp.features.canvases import check_size
from mlsp.features.sources import Source
from mtl.network.networks import DEFAULT, NETWORKS, Network
from mtl.runtime.files import InputError

CROP_SIZE = 299  # Keras' input size of InceptionResNetV2; one for all, so that networks compare

CONTENTS_KEPT = 128  # more than threads ask for at a time

Pool = Literal["min", "avg", "max"]
CropPool = Literal["min", "avg", "max", "concat", "none"]

Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True)
class Crops:
    """How pictures are cropped and what becomes of a picture's crops."""

    number: int
    """Crops of each picture."""
    size: int = CROP_SIZE
    """Height and width of a crop in pixels."""
    pool: CropPool = "avg"
    """Pooling of a picture's crops; concat joins them, none keeps a row of features for each."""
    seed: int = 0
    """Decides, with a picture's name, where its crops are."""

    def __post_init__(self):
        if self.number < 1:
            raise InputError(f"--crops {self.number}: give the number of crops, at least 1")
        if self.size < 1:
            raise InputError(f"--crop-size {self.size}: must be positive")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: must not be negative")
        if self.pool not in get_args(CropPool):
            raise InputError(f"--pool {self.pool}: give one of {', '.join(get_args(CropPool))}")

    def boxes(self, name: str, size: tuple[int, int]) -> list[Box]:
        """Where the crops of a picture of (height, width) `size` are; crops may overlap.

        They depend on the picture's name, its size and the seed, on nothing else.
        """
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
        rng = np.random.default_rng([self.seed, int.from_bytes(digest[:8], "big")])
        height, width = (min(self.size, side) for side in size)
        tops = rng.integers(0, size[0] - height, self.number, endpoint=True)
        lefts = rng.integers(0, size[1] - width, self.number, endpoint=True)
        return [(int(t), int(left), height, width) for t, left in zip(tops, lefts, strict=True)]

    def cut(self, name: str, image: UInt8[np.ndarray, "h w 3"]) -> list[UInt8[np.ndarray, "_ _ 3"]]:
        """The crops of a picture."""
        height, width = image.shape[:2]
        return [image[t : t + h, x : x + w] for t, x, h, w in self.boxes(name, (height, width))]


CROP, PLACE = "crop", ("top", "left", "height", "width")
"""Columns of a crop in an index; a picture's own of these names are left out."""


def _is_free(column: str) -> bool:
    return column.casefold() not in (CROP, *PLACE)


class CropRows:
    """A source with a row for each crop of each picture of another source.

    Names are those of the pictures, each `number` times in a row; beside the picture's columns
    stand crop (1, 2, ...), top, left, height and width, which are empty if it cannot be read.

    Args:
        source: of whole pictures.
        crops: how they are cropped.
        network: that describes the crops.

    Raises:
        InputError: the crops are too small for the network.
    """

    def __init__(self, source: Source, crops: Crops, network: Network = NETWORKS[DEFAULT]):
        if crops.size < network.smallest_side:
            raise InputError(
                f"--crop-size {crops.size}: at least {network.smallest_side} pixels are needed"
            )
        self._source, self._crops = source, crops
        self.names: Sequence[str] = [name for name in source.names for _ in range(crops.number)]
        self._failures: dict[int, str] = {}
        self._boxes: list[Box | None] = []
        columns: list[Mapping[str, str]] = []
        for picture, name in enumerate(source.names):
            boxes: Sequence[Box | None] = [None] * crops.number
            try:
                size = source.size(picture)
                check_size(size, None, network)
                boxes = crops.boxes(name, size)
            except InputError as error:
                self._failures[picture] = str(error)
            self._boxes += boxes
            for number, box in enumerate(boxes, 1):
                values = ("",) * 4 if box is None else map(str, box)
                place = dict(zip(PLACE, values, strict=True))
                kept = {k: v for k, v in source.columns[picture].items() if _is_free(k)}
                columns.append({**kept, CROP: str(number), **place})
        self.columns: Sequence[Mapping[str, str]] = columns
        # Crops of one picture are asked for one after the other.
        self._picture = lru_cache(1)(source.load)
        self._content = lru_cache(CONTENTS_KEPT)(source.content)

    def size(self, index: int) -> tuple[int, int]:
        """Of the crop."""
        box = self._boxes[index]
        if box is None:
            raise InputError(self._failures[index // self._crops.number])
        return box[2:]

    def load(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The crop's pixels."""
        top, left, height, width = self._boxes[index] or (0, 0, *self.size(index))
        image = self._picture(index // self._crops.number)
        return image[top : top + height, left : left + width]

    def content(self, index: int) -> str:
        """Return that of the picture: where its crop is, the settings decide."""
        return self._content(index // self._crops.number)


def pool_features(features: Float[np.ndarray, "n ..."], pool: CropPool) -> Float[np.ndarray, "..."]:
    """One description of a picture from those of its crops.

    Element by element the minimum, average or maximum, or all of them side by side (`concat`: the
    last axis is n times as long).

    Raises:
        ValueError: `pool` is none.
    """
    if pool == "concat":
        return np.concatenate(list(features), axis=-1)
    return _POOLS[_known(pool)](features, axis=0)


def pool_predictions(
    names: Sequence[str], predictions: Float[np.ndarray, " n"], pool: Pool
) -> dict[str, float]:
    """One score for each picture from those predicted for its crops.

    Args:
        names: of the pictures the crops are of, as `load_features(...).names` has them.
        predictions: by crop.
        pool: minimum, average (which DeepBIQ found best) or maximum.

    Raises:
        ValueError: the lengths differ, or `pool` is none of these.
    """
    if len(names) != len(predictions):
        raise ValueError(f"{len(names)} names but {len(predictions)} predictions")
    of_picture: dict[str, list[float]] = {}
    for name, value in zip(names, predictions, strict=True):
        of_picture.setdefault(name, []).append(float(value))
    function = _POOLS[_known(pool)]
    return {name: float(function(np.array(values))) for name, values in of_picture.items()}


_POOLS = {"min": np.min, "avg": np.mean, "max": np.max}


def _known(pool: str) -> str:
    if pool not in _POOLS:
        raise ValueError(f"pool is {pool!r}, not one of {', '.join(_POOLS)}")
    return pool
