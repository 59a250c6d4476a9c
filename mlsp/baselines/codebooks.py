"""Codebooks learned from the training part of a split, and the vectors that they give.

The benchmark calls, for each split and each size of a learning curve,

    encoder = learn_encoder(pictures, split.train, seed)
    features = encoded(pictures, rows, encoder)     of all three parts, and of other databases

The method's `fit` gets the local descriptors of the training pictures and the seed. Names, scores
and pictures of the validation and test parts stay out of its reach.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int, Shaped

from mlsp.baselines.baseline import Baseline, Encoder
from mlsp.baselines.table import BASELINES
from mlsp.features.sources import Source
from mtl.runtime.files import InputError
from mtl.runtime.threads import in_order


class LocalDescriptors:
    """Give the local descriptors of some pictures of a source, computed by one method when read.

    Nothing is kept: those of 10,000 pictures can take 20 GB.

    Args:
        name: of a row of `BASELINES` with a codebook.
        source: the pictures.
        rows: those of the source that can be used, in the order of this sequence.

    Raises:
        ValueError: the method has no codebook.
    """

    def __init__(self, name: str, source: Source, rows: Int[np.ndarray, " n"]):
        if BASELINES[name].fit is None:
            raise ValueError(f"{name} has no codebook")
        self.name = name
        self._source, self._rows = source, np.asarray(rows)

    @property
    def baseline(self) -> Baseline:
        """The method."""
        return BASELINES[self.name]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int, /) -> Shaped[np.ndarray, "..."]:
        row = int(self._rows[index])
        try:
            return self.baseline.describe(self._source.load(row))
        except ValueError as error:
            raise InputError(f"{self._source.names[row]}: {error}") from error

    def __iter__(self) -> Iterator[Shaped[np.ndarray, "..."]]:
        return in_order(self.__getitem__, range(len(self)))

    def of(self, rows: Int[np.ndarray, " m"]) -> "LocalDescriptors":
        """Return those of some of these pictures."""
        return LocalDescriptors(self.name, self._source, self._rows[rows])


def learn_encoder(
    pictures: LocalDescriptors, training: Int[np.ndarray, " t"], seed: int
) -> Encoder:
    """Learn a method's codebook from the training part of a split, and from nothing else.

    Args:
        pictures: of a database.
        training: places of the training part among them.
        seed: of what is drawn.

    Raises:
        InputError: the pictures do not suffice for the codebook.
    """
    fit = pictures.baseline.fit
    assert fit is not None  # there are no descriptors without it
    try:
        return fit(pictures.of(training), seed)
    except ValueError as error:
        raise InputError(
            f"{pictures.name}: no codebook can be learned from {len(training)} pictures: {error}"
        ) from error


def encoded(
    pictures: LocalDescriptors, rows: Int[np.ndarray, " m"], encoder: Encoder
) -> Float32[np.ndarray, "m f"]:
    """Return the feature vectors of some pictures, computed in threads.

    Args:
        pictures: of the database that the codebook was learned on, or of another.
        rows: places of the pictures among them.
        encoder: from `learn_encoder`.

    Raises:
        InputError: a vector is not finite.
        ValueError: a vector has another length than the method's row says.
    """
    chosen = pictures.of(rows)
    length = pictures.baseline.length
    vectors = np.empty((len(chosen), length), np.float32)

    def vector(place: int) -> np.ndarray:
        return encoder(chosen[place])

    for place, found in enumerate(in_order(vector, range(len(chosen)))):
        if found.shape != (length,):
            raise ValueError(f"{pictures.name}: a vector has shape {found.shape}, not ({length},)")
        if not np.isfinite(found).all():
            raise InputError(f"{pictures.name}: its codebook gives a picture no finite vector")
        vectors[place] = found
    return vectors
