"""The epochs of a fine-tuning run, stage by stage, and the test of its best weights."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate

import jax
import numpy as np
from jaxtyping import Float

from mtl.evaluation.correlation import plcc, srocc
from mtl.network.weights import FOLDER, WEIGHTS_FILE, save_model
from mtl.ratings.rated import TEST, TRAINING, VALIDATION
from mtl.runtime.files import read_arrays, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import table_text
from mtl.training.checkpoints import Checkpoints
from mtl.training.multitask.train_config import TrainConfig, as_json
from mtl.training.opinions.finetune_config import FinetuneConfig
from mtl.training.opinions.finetune_data import RatedData
from mtl.training.opinions.opinion_losses import LOSSES, line_onto, opinion_scores
from mtl.training.training_loop import Data, Loop, Start, versions
from mtl.training.training_step import Placement, Programs

PREDICTIONS_FILE, SUMMARY_FILE = "predictions.csv", "summary.csv"

# The head's last layer, which takes up the line of a loss that leaves the scale open.
OUT_KERNEL, OUT_BIAS = "opinion/out/kernel", "opinion/out/bias"


class Stages(Loop):
    """The epochs of all stages, and the test."""

    def __init__(
        self,
        config: FinetuneConfig,
        settings: TrainConfig,
        data: RatedData,
        scheme: str,
        placement: Placement,
        programs: Programs,
        checkpoints: Checkpoints,
        start: Start,
        progress: bool,
    ):
        self.line = (1.0, 0.0)
        opened = Data({}, (), None, data.parts[TRAINING], data.parts[VALIDATION], data.seen)
        super().__init__(settings, opened, placement, programs, checkpoints, start, progress)
        self.chosen, self.rated, self.scheme = config, data, scheme
        ends = list(accumulate(epochs for _, epochs in config.stages))
        self.rates = {end - n: rate for end, (rate, n) in zip(ends, config.stages, strict=True)}

    def test(self) -> None:
        """Judge the best weights by the test part, and write what came of it."""
        weights = jax.device_put(self._best_weights(), self.placement.everywhere)
        images = self.rated.parts[TEST]
        outputs, _ = self._predicted(images, "test", weights, self.config.epochs * self.steps)
        scores, distribution = opinion_scores(self.rated.opinion, outputs)
        rows = []
        for k, name in enumerate(self.rated.names[TEST]):
            row = {"image": name, "score": self.rated.scores[TEST][k], "predicted": scores[k]}
            if distribution is not None:
                row |= {f"p{n}": share for n, share in enumerate(distribution[k], 1)}
            rows.append(row)
        best = max(self.log, key=_rank)  # the first of equals
        summary = {
            "scheme": self.scheme,
            "loss": self.chosen.loss,
            "epoch": int(best["epoch"]),
            "images": len(images),
            **_measures(scores, self.rated.scores[TEST]),
        }
        write_atomically(self.config.out / PREDICTIONS_FILE, table_text(rows))
        write_atomically(self.config.out / SUMMARY_FILE, table_text([summary]))

    def _begin(self, epoch: int) -> None:
        """Start the next stage from the best weights so far, with an optimiser that is new."""
        if epoch == 0 or epoch not in self.rates:
            return
        best, rate = max(self.log, key=_rank), self.rates[epoch]
        say(
            f"learning rate {rate:g}, from the weights of epoch {best['epoch']:.0f}"
            f" (validation PLCC {best['plcc']:.3f})",
            show=self.progress,
        )
        state = self.programs.fresh(self._best_weights())
        everywhere = self.placement.everywhere
        state.optimizer.hyperparams["learning_rate"] = jax.device_put(np.float32(rate), everywhere)
        step = jax.device_put(np.int32(epoch * self.steps), everywhere)
        self.state = replace(state, step=step)

    def _best_weights(self) -> dict[str, np.ndarray]:
        return read_arrays(self.config.out / FOLDER / WEIGHTS_FILE)

    def _validate(self, epoch: int) -> dict[str, float]:
        """Loss and measures on the validation part, on the users' scale."""
        images, step = self.data.validation, (epoch + 1) * self.steps
        outputs, targets = self._predicted(images, "validation", self.state.weights, step)
        if LOSSES[self.chosen.loss].scale_free:
            self.line = line_onto(outputs[:, 0], targets[:, 0])
        scores, _ = opinion_scores(self.rated.opinion, outputs * self.line[0] + self.line[1])
        rate = self.rates[max(start for start in self.rates if start <= epoch)]
        return {
            "validation_loss": float(LOSSES[self.chosen.loss].function(outputs, targets)),
            "learning_rate": rate,
            **_measures(scores, self.rated.scores[VALIDATION]),
        }

    def _conclude(self, row: dict[str, float], step: int) -> None:
        """Export the model if it is the best so far, and write the log."""
        say(
            f"epoch {row['epoch']}/{self.config.epochs}: train loss {row['train_loss']:.4f},"
            f" validation loss {row['validation_loss']:.4f}, SROCC {row['srocc']:.3f},"
            f" PLCC {row['plcc']:.3f}",
            show=self.progress,
        )
        assert self.written is not None  # there is one process
        if not self.log or _rank(row) > max(map(_rank, self.log)):
            # A run that is killed after this must not continue before this epoch, where the best
            # weights were others.
            self.checkpoints.wait()
            save_model(
                self.config.out / FOLDER,
                self.programs.model,
                self._on_line(
                    {name: np.asarray(array) for name, array in self.state.weights.items()}
                ),
                None,
                {
                    "row": row,
                    "scheme": self.scheme,
                    "training": as_json(self.chosen),
                    "versions": versions(),
                },
                self.data.seen,
            )
        self.written.add_epoch(row, step)

    def _on_line(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The network whose outputs are on the line."""
        slope, offset = (np.float32(v) for v in self.line)
        if (slope, offset) == (1, 0):
            return weights
        kernel, bias = weights[OUT_KERNEL], weights[OUT_BIAS]
        return weights | {OUT_KERNEL: kernel * slope, OUT_BIAS: bias * slope + offset}

    def _advice(self, step: int, loss: float) -> str:
        other = " or --dtype float32" if self.config.dtype != "float32" else ""
        return (
            f"the loss is {loss} at step {step}; try smaller learning rates in --stages{other}, in"
            " a new --out"
        )


def _rank(row: Mapping[str, float]) -> float:
    """What decides which epoch is best; no correlation (constant predictions) comes last."""
    return row["plcc"] if np.isfinite(row["plcc"]) else -np.inf


def _measures(
    predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """SROCC, PLCC of the predictions as they are, RMSE and MAE, on the users' scale."""
    return {
        "srocc": srocc(predicted, true),
        "plcc": plcc(predicted, true),
        "rmse": float(np.sqrt(np.mean((predicted - true) ** 2))),
        "mae": float(np.mean(np.abs(predicted - true))),
    }
