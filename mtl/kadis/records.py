"""The records of a data set: what one holds, how it is encoded, and random access to the images.

Two stores. `pixels` keeps every distorted image: a record is an image (PNG), its reference's name,
distortion, level, seed and raw scores. `recipe` keeps each photograph's pristine crop (PNG) once,
with the distortions, levels, seeds and scores of all its versions: about a fifth of the space with
five versions; the images are distorted again when they are read, to the same bytes.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32, UInt8
from tensorflow_datasets.proto import tf_example_pb2

from distortions import distort
from mtl.kadis.recipes import Version
from mtl.runtime.files import InputError
from mtl.runtime.pictures import encode_png

Store = Literal["pixels", "recipe"]

PRISTINE = "pristine"  # the feature that only records of the store `recipe` have


@dataclass(frozen=True)
class Scored:
    """A reference with its distorted versions and their full-reference scores."""

    reference: str
    pristine: UInt8[np.ndarray, "h w 3"]
    versions: Sequence[Version]
    images: UInt8[np.ndarray, "n h w 3"]
    scores: Mapping[str, Float32[np.ndarray, " n"]]
    """By metric, in the order of the versions."""


@dataclass(frozen=True)
class StoredImage:
    """One distorted image and everything known of it."""

    image: UInt8[np.ndarray, "h w 3"]
    reference: str
    version: Version
    scores: Mapping[str, float]
    """Raw, by metric."""


def record_features(
    store: Store, size: tuple[int, int], metrics: Sequence[str], versions: int
) -> tfds.features.FeaturesDict:
    """The TFDS description of a record.

    Args:
        store: what is kept.
        size: height and width of the images.
        metrics: what they are scored with.
        versions: distorted images per reference.
    """
    image = tfds.features.Image(shape=(*size, 3), encoding_format="png")
    reference = tfds.features.Text()
    if store == "pixels":
        return tfds.features.FeaturesDict(
            {
                "image": image,
                "reference": reference,
                "distortion": tfds.features.Scalar(np.int32),
                "level": tfds.features.Scalar(np.int32),
                "seed": tfds.features.Scalar(np.int64),
                "scores": {metric: tfds.features.Scalar(np.float32) for metric in metrics},
            }
        )

    def each(dtype: type) -> tfds.features.Tensor:
        return tfds.features.Tensor(shape=(versions,), dtype=dtype)

    return tfds.features.FeaturesDict(
        {
            PRISTINE: image,
            "reference": reference,
            "distortion": each(np.int32),
            "level": each(np.int32),
            "seed": each(np.int64),
            "scores": {metric: each(np.float32) for metric in metrics},
        }
    )


def encoded_records(
    scored: Scored, store: Store, features: tfds.features.FeaturesDict
) -> Iterator[bytes]:
    """The records of one reference as serialised tf.train.Example, the same bytes everywhere."""
    if store == "recipe":
        fields = {
            PRISTINE: encode_png(scored.pristine),
            "reference": _bytes_of(scored.reference),
            "distortion": np.array([v.distortion for v in scored.versions], np.int32),
            "level": np.array([v.level for v in scored.versions], np.int32),
            "seed": np.array([v.seed for v in scored.versions], np.int64),
            "scores": dict(scored.scores),
        }
        yield _serialized(features, fields)
        return
    for k, (image, version) in enumerate(zip(scored.images, scored.versions, strict=True)):
        scores = {metric: column[k] for metric, column in scored.scores.items()}
        yield encoded_image(encode_png(image), scored.reference, version, scores, features)


def encoded_image(
    png: bytes,
    reference: str,
    version: Version,
    scores: Mapping[str, np.float32],
    features: tfds.features.FeaturesDict,
) -> bytes:
    """The record of one image of the store `pixels`, the same bytes everywhere."""
    fields = {"image": png, "reference": _bytes_of(reference), **asdict(version)}
    fields["scores"] = dict(scores)
    return _serialized(features, fields)


def name_of(stored: bytes) -> str:
    """Return the reference's name that a record stores: UTF-8, or the bytes that it is made of."""
    return stored.decode(errors="surrogateescape")


def _bytes_of(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def stored_image(record: Mapping[str, Any], k: int) -> StoredImage:
    """Image `k` of a record, as TFDS decodes it; of the store `recipe`, distorted again."""
    whole = PRISTINE in record

    def of(column: Any) -> Any:
        return column[k] if whole else column

    version = Version(*(int(of(record[name])) for name in ("distortion", "level", "seed")))
    scores = {metric: float(of(column)) for metric, column in record["scores"].items()}
    if whole:
        image = distort(record[PRISTINE], version.distortion, version.level, seed=version.seed)
    else:
        image = record["image"]
    return StoredImage(image, name_of(record["reference"]), version, scores)


class DataSet:
    """Random access to the distorted images of a data set, whichever store it has.

    Raises:
        InputError: `data` is not a data set in TFDS layout.
    """

    def __init__(self, data: Path):
        try:
            builder = tfds.builder_from_directory(os.fspath(data))
        except Exception as error:  # TFDS raises many kinds for a folder that is not its own
            raise InputError(f"{data}: cannot be opened as a TFDS data set ({error})") from error
        features = builder.info.features
        self.store: Store = "recipe" if PRISTINE in features else "pixels"
        image = features[PRISTINE if self.store == "recipe" else "image"]
        self.size: tuple[int, int] = tuple(image.shape[:2])
        self.metrics = tuple(features["scores"])
        self.versions_per_record = features["level"].shape[0] if self.store == "recipe" else 1
        # A split is empty where all of its photographs had to be left out.
        self._records = {
            name: builder.as_data_source(name)
            for name, split in builder.info.splits.items()
            if split.num_examples
        }

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold images."""
        return tuple(self._records)

    def number_of_images(self, split: str) -> int:
        """How many distorted images a split has."""
        return len(self._records[split]) * self.versions_per_record

    def image(self, split: str, index: int) -> StoredImage:
        """Image `index` of a split, in the order of the shards."""
        record, k = divmod(index, self.versions_per_record)
        return stored_image(self._records[split][record], k)

    def pristine(self, split: str, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The pristine crop of image `index`'s reference; the store `pixels` has none."""
        return self._records[split][index // self.versions_per_record][PRISTINE]


def _serialized(features: tfds.features.FeaturesDict, fields: Mapping[str, Any]) -> bytes:
    """The tf.train.Example of a record with its features in a fixed order.

    Protocol buffers write the entries of a map in an order that changes from process to process.
    """
    serialized = features.serialize_example(features.encode_example(fields))
    return tf_example_pb2.Example.FromString(serialized).SerializeToString(deterministic=True)
