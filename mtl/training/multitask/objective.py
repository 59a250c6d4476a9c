"""The objective of multi-task training: all scores of an image, with equal weights.

DeepFL-IQA, arXiv:2001.08113, section IV-B: mean squared error, the epoch with the smallest
validation loss kept.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from mtl.evaluation.correlation import plcc, srocc
from mtl.evaluation.seen import read_seen
from mtl.network.model import ModelConfig, mtl_loss
from mtl.network.networks import DEFAULT
from mtl.network.weights import TrainedModel
from mtl.training.multitask.config import TrainConfig
from mtl.training.multitask.data import ScoredData
from mtl.training.objective import Arrays, Objective, Row
from mtl.training.settings import as_json


class MultitaskObjective(Objective):
    """Predict the full-reference scores of a data set.

    Args:
        config: the run.
        data: its data set.
        given: model to start from, of the run's network and width; None starts at random.
    """

    def __init__(self, config: TrainConfig, data: ScoredData, given: TrainedModel | None):
        scaling = {}
        if given is not None:
            scaling = {"scaling": given.config.scaling}
            self.seen = read_seen(given.folder)
        self.model = ModelConfig(
            data.tasks,
            momentum=config.momentum,
            width=config.width,
            network=config.network or DEFAULT,
            **scaling,
        )
        self.training, self.validation = data.training, data.validation
        self.equalization = data.equalization
        self.notes = {"training": as_json(config)}
        self._config, self._tasks = config, data.tasks
        self._given = {} if given is None else given.weights

    def given_weights(self, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Return the given body, and the heads of the metrics that both models have."""
        return {name: array for name, array in self._given.items() if name in shapes}

    def loss(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """Return the mean of the squared errors of all metrics."""
        return mtl_loss(outputs, targets)

    def measures(self, outputs: np.ndarray, targets: np.ndarray, epoch: int) -> Row:
        """Return loss, SROCC and PLCC per metric and their means."""
        row = {"validation_loss": float(np.mean((outputs - targets) ** 2))}
        pairs = {m: (outputs[:, k], targets[:, k]) for k, m in enumerate(self._tasks)}
        ranks = {f"srocc_{m}": srocc(*pair) for m, pair in pairs.items()}
        linear = {f"plcc_{m}": plcc(*pair) for m, pair in pairs.items()}
        row["mean_srocc"] = float(np.mean(list(ranks.values())))
        row["mean_plcc"] = float(np.mean(list(linear.values())))
        return row | ranks | linear

    def is_best(self, row: Row, earlier: Sequence[Row]) -> bool:
        """Tell whether the validation loss is the smallest so far; the last of equals is."""
        return all(row["validation_loss"] <= other["validation_loss"] for other in earlier)

    def in_words(self, row: Row) -> str:
        """Return the mean correlations."""
        return f"mean SROCC {row['mean_srocc']:.3f}, mean PLCC {row['mean_plcc']:.3f}"

    def advice(self, saved: int | None) -> str:
        """Return the options that make the loss finite."""
        options = [
            "try a smaller --learning-rate",
            "--equalize on" if self._config.equalize == "off" else "",
            "--dtype float32" if self._config.dtype != "float32" else "",
        ]
        text = " or ".join(filter(None, options))
        return text + (f", in a new --out (step {saved} is saved)" if saved else "")
