"""Define what a run trains for: targets, loss, measures, and which epoch is the best.

The engine (`mtl.training.engine`) trains any objective and knows of it only what stands here. Those
that there are: `mtl.training.multitask` and `mtl.training.opinions`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fr_metrics import HistogramEqualization
from mtl.evaluation.seen import SeenRatings
from mtl.network.model import ModelConfig
from mtl.training.batches import Images

Row = dict[str, float]
"""An epoch in the log: epoch, train_loss, validation_loss, measures, images_per_second."""

Arrays = Mapping[str, np.ndarray]
"""Weights by flat name."""

Predict = Callable[[Images, str, Arrays], np.ndarray]
"""(images, what they are in words, weights) → the network's outputs (n, k), on every process."""


@dataclass(frozen=True)
class Stage:
    """A new beginning within a run: the optimiser forgets what it knew."""

    weights: Arrays
    """To go on from."""
    learning_rate: float
    reason: str
    """Said to the user."""


class Objective(ABC):
    """Define what a run learns and how it is judged.

    Every process of a run calls the same methods in the same order. The engine writes the model,
    on the first process.
    """

    model: ModelConfig
    """The network, with heads for the targets."""
    training: Images
    """What it learns from."""
    validation: Images
    """What every epoch is judged by."""
    equalization: HistogramEqualization | None = None
    """Of the targets; goes with the model."""
    seen: Sequence[SeenRatings] = ()
    """Rated pictures that the weights learn from, here or before; goes with the model."""
    notes: Mapping[str, Any] = {}
    """What a reader of the model should know besides the epoch and the versions of packages."""

    def given_weights(self, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Return the weights to start from that are not random.

        Args:
            shapes: of all weights of the network, by name.
        """
        return {}

    @abstractmethod
    def loss(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """Return the mean loss of a batch; it is compiled as a part of the training step."""

    def stage(self, epoch: int, log: Sequence[Row]) -> Stage | None:
        """Return the stage that begins with an epoch; None goes on as before.

        Args:
            epoch: its number, from 0.
            log: rows of the epochs before.
        """
        return None

    @abstractmethod
    def measures(self, outputs: np.ndarray, targets: np.ndarray, epoch: int) -> Row:
        """Judge the network after an epoch.

        Args:
            outputs: of the validation split (n, k).
            targets: likewise.
            epoch: its number, from 0.

        Returns:
            `validation_loss`, and other columns of the log; the learning curves show `srocc`,
            `mean_srocc` and `srocc_METRIC`.
        """

    @abstractmethod
    def is_best(self, row: Row, earlier: Sequence[Row]) -> bool:
        """Tell whether an epoch is better than all before it, so that its model is exported."""

    def exported(self, weights: Arrays, outputs: np.ndarray, targets: np.ndarray) -> Arrays:
        """Return the weights to export.

        Args:
            weights: after the epoch.
            outputs: of the validation split (n, k).
            targets: likewise.
        """
        return weights

    def in_words(self, row: Row) -> str:
        """Return what the user is told of an epoch besides its losses; may be empty."""
        return ""

    def advice(self, saved: int | None) -> str:
        """Return what to try when the loss is not finite.

        Args:
            saved: step of the latest checkpoint; None without any.
        """
        return "try a smaller learning rate"

    def finish(self, log: Sequence[Row], predict: Predict) -> None:
        """Conclude a run whose epochs are done; called again if it was interrupted.

        Args:
            log: rows of all epochs.
            predict: gives the outputs of any weights for any images.
        """
        return None
