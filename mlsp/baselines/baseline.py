"""Define what a conventional method is: a description of pictures, with or without a codebook.

Without a codebook, `describe(picture)` is the method's feature vector. It is computed once per
picture and kept (`mlsp.baselines.feature_tables`).

With a codebook, `describe(picture)` returns the picture's local descriptors, such as its patches,
in whatever shape the method likes. For each split of a benchmark

    encoder = fit(descriptors of the training part, seed)
    vector = encoder(describe(picture))             for the pictures of all three parts

so that `fit` sees training pictures only, neither validation nor test (`mlsp.baselines.codebooks`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np
from jaxtyping import Float, Shaped, UInt8

Describe = Callable[[UInt8[np.ndarray, "h w 3"]], Shaped[np.ndarray, "..."]]

Encoder = Callable[[Shaped[np.ndarray, "..."]], Float[np.ndarray, " length"]]
"""The feature vector of a picture from its local descriptors; called from several threads."""


class Descriptors(Protocol):
    """Local descriptors of pictures, one array each, in an order that `fit` may rely on.

    They may be larger than memory and are computed at each reading: read each once, and keep what
    is needed of it.
    """

    def __len__(self) -> int:
        """Return the number of pictures."""
        ...

    def __getitem__(self, index: int, /) -> Shaped[np.ndarray, "..."]:
        """Return the descriptors of one picture."""
        ...

    def __iter__(self) -> Iterator[Shaped[np.ndarray, "..."]]:
        """Yield the descriptors of each picture, computed ahead in threads."""
        ...


Fit = Callable[[Descriptors, int], Encoder]
"""Learn a codebook from the pictures of a training part and a seed, which decide it alone.

ValueError: they do not suffice, for example because there are fewer patches than codewords.
"""


@dataclass(frozen=True)
class Baseline:
    """Hold what there is to know about one conventional method."""

    title: str
    """Name as the literature writes it."""
    describe: Describe
    """Features of an 8-bit RGB picture; with `fit`, its local descriptors. Pure, so that threads
    may share it. ValueError: the picture cannot be described, for example because it is too small;
    the text is told to the user."""
    length: int
    """Numbers in a feature vector."""
    fit: Fit | None
    """Learns the codebook; None for a method without one."""
    reference: str
    """DOI of the paper that defines the method."""
    verified: bool
    """True where the numbers of the authors' own program are reproduced."""
    program: tuple[ModuleType, ...]
    """Modules that decide the numbers: those of `describe` and `fit`, and those shared with other
    methods. Kept features of another program are made again."""
