"""The objective of training on human opinions: stages, the best PLCC, and the test.

Each stage starts from the weights with the best PLCC on the validation part so far, the first of
equals, and with a new optimiser; those weights are tested at the end.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import jax
import numpy as np
from jaxtyping import Float

from mtl.evaluation.correlation import plcc, srocc
from mtl.network.model import ModelConfig
from mtl.network.weights import FOLDER, WEIGHTS_FILE, TrainedModel
from mtl.ratings.rated import TEST, TRAINING, VALIDATION
from mtl.runtime.files import read_arrays, write_atomically
from mtl.runtime.tables.csv_tables import table_text
from mtl.training.objective import Arrays, Objective, Predict, Row, Stage
from mtl.training.opinions.config import FinetuneConfig
from mtl.training.opinions.data import RatedData
from mtl.training.opinions.losses import LOSSES, line_onto, opinion_scores
from mtl.training.settings import as_json

PREDICTIONS_FILE, SUMMARY_FILE = "predictions.csv", "summary.csv"

# The head's last layer, which takes up the line of a loss that leaves the scale open.
OUT_KERNEL, OUT_BIAS = "opinion/out/kernel", "opinion/out/bias"


class OpinionObjective(Objective):
    """Predict what people think of pictures.

    Args:
        config: the run.
        data: its table.
        given: model to start from; None starts at random.
        scheme: what the run started from, in words.
        network: name of the network, which is that of `given`.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        data: RatedData,
        given: TrainedModel | None,
        scheme: str,
        network: str,
    ):
        kept = {}
        if given is not None:
            kept = {"scaling": given.config.scaling, "width": given.config.width}
        self.model = ModelConfig(
            (), momentum=config.momentum, opinion=data.opinion, network=network, **kept
        )
        self.training, self.validation = data.parts[TRAINING], data.parts[VALIDATION]
        self.seen = data.seen
        self.notes = {"scheme": scheme, "training": as_json(config)}
        self._config, self._data, self._scheme = config, data, scheme
        self._given = {} if given is None else given.weights
        ends = list(accumulate(epochs for _, epochs in config.stages))
        self._rates = {end - n: rate for end, (rate, n) in zip(ends, config.stages, strict=True)}

    def given_weights(self, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Return the given body; the head is new."""
        return {name: array for name, array in self._given.items() if name.startswith("body/")}

    def loss(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """Return the loss of a training batch, with the weights of its pictures."""
        return self._data.loss(outputs, targets)

    def stage(self, epoch: int, log: Sequence[Row]) -> Stage | None:
        """Return the next stage, from the best weights so far; the first one is the run's start."""
        if epoch == 0 or epoch not in self._rates:
            return None
        best, rate = max(log, key=_rank), self._rates[epoch]
        reason = (
            f"learning rate {rate:g}, from the weights of epoch {best['epoch']:.0f}"
            f" (validation PLCC {best['plcc']:.3f})"
        )
        return Stage(self._best_weights(), rate, reason)

    def measures(self, outputs: np.ndarray, targets: np.ndarray, epoch: int) -> Row:
        """Return the loss, and how the scores on the users' scale agree with people's."""
        slope, offset = self._line(outputs, targets)
        scores, _ = opinion_scores(self._data.opinion, outputs * slope + offset)
        return {
            "validation_loss": float(LOSSES[self._config.chosen_loss].function(outputs, targets)),
            "learning_rate": self._rates[max(start for start in self._rates if start <= epoch)],
            **_agreement(scores, self._data.scores[VALIDATION]),
        }

    def is_best(self, row: Row, earlier: Sequence[Row]) -> bool:
        """Tell whether the PLCC is the highest so far; the first of equals is."""
        return not earlier or _rank(row) > max(map(_rank, earlier))

    def exported(self, weights: Arrays, outputs: np.ndarray, targets: np.ndarray) -> Arrays:
        """Return the weights of the network whose outputs are on the scale."""
        slope, offset = (np.float32(value) for value in self._line(outputs, targets))
        if (slope, offset) == (1, 0):
            return weights
        kernel, bias = weights[OUT_KERNEL], weights[OUT_BIAS]
        return {**weights, OUT_KERNEL: kernel * slope, OUT_BIAS: bias * slope + offset}

    def in_words(self, row: Row) -> str:
        """Return the correlations."""
        return f"SROCC {row['srocc']:.3f}, PLCC {row['plcc']:.3f}"

    def advice(self, saved: int | None) -> str:
        """Return the options that make the loss finite."""
        other = " or --dtype float32" if self._config.dtype != "float32" else ""
        return f"try smaller learning rates in --stages{other}, in a new --out"

    def finish(self, log: Sequence[Row], predict: Predict) -> None:
        """Judge the best weights by the test part, and write predictions and measures."""
        data, images = self._data, self._data.parts[TEST]
        outputs = predict(images, "test", self._best_weights())
        scores, distribution = opinion_scores(data.opinion, outputs)
        rows = []
        for k, name in enumerate(data.names[TEST]):
            row = {"image": name, "score": data.scores[TEST][k], "predicted": scores[k]}
            if distribution is not None:
                row |= {f"p{n}": share for n, share in enumerate(distribution[k], 1)}
            rows.append(row)
        best = max(log, key=_rank)  # the first of equals
        summary = {
            "scheme": self._scheme,
            "loss": self._config.chosen_loss,
            "epoch": int(best["epoch"]),
            "images": len(images),
            **_agreement(scores, data.scores[TEST]),
        }
        write_atomically(self._config.out / PREDICTIONS_FILE, table_text(rows))
        write_atomically(self._config.out / SUMMARY_FILE, table_text([summary]))

    def _best_weights(self) -> dict[str, np.ndarray]:
        return read_arrays(self._config.out / FOLDER / WEIGHTS_FILE)

    def _line(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
        """Return slope and offset that bring outputs onto the scale of the targets."""
        if LOSSES[self._config.chosen_loss].scale_free:
            return line_onto(outputs[:, 0], targets[:, 0])
        return 1.0, 0.0


def _rank(row: Mapping[str, float]) -> float:
    """Return what decides which epoch is best; no correlation (equal predictions) comes last."""
    return row["plcc"] if np.isfinite(row["plcc"]) else -np.inf


def _agreement(
    predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """Return SROCC, PLCC of the predictions as they are, RMSE and MAE, on the users' scale."""
    return {
        "srocc": srocc(predicted, true),
        "plcc": plcc(predicted, true),
        "rmse": float(np.sqrt(np.mean((predicted - true) ** 2))),
        "mae": float(np.mean(np.abs(predicted - true))),
    }
