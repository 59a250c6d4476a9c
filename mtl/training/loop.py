"""The epochs of a run: training, validation, checkpoints, log and the export of the best model."""

import importlib.metadata
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from tqdm import tqdm

from mtl.network.model import Weights
from mtl.network.weights import FOLDER, save_model
from mtl.runtime.progress import progress_bar, say, stage
from mtl.runtime.stopping import NOTHING, SAVE, STOP, Requests, signals_call
from mtl.training.batches import Images, training_batches, validation_batches
from mtl.training.checkpoints import Checkpoints
from mtl.training.distribution import leads
from mtl.training.logs import LearningLog
from mtl.training.objective import Objective, Row
from mtl.training.settings import RunSettings
from mtl.training.step import Outcome, Programs, State

# Steps that are under way before the loss of the first of them is looked at: the device never waits
# for the host, and the host knows which step a loss belongs to.
STEPS_AHEAD = 2


@dataclass(frozen=True)
class Start:
    """Where a run begins or goes on."""

    step: int
    """Steps taken."""
    state: State
    loss_sum: float
    """Of the epoch's steps so far."""
    log: list[Row]
    """Rows of the epochs that are done."""


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide a result."""
    packages = ("deepfl-iqa", "jax", "flax", "optax", "numpy", "opencv-python-headless")
    return {package: importlib.metadata.version(package) for package in packages}


class Loop:
    """What is left of a run: its epochs, from the state of a checkpoint or the first one.

    Args:
        objective: what the run trains for.
        settings: of the run.
        programs: of the run.
        checkpoints: of the run.
        start: where it goes on.
        progress: report on standard error.

    Raises:
        InputError: the devices cannot share a batch evenly.
    """

    def __init__(
        self,
        objective: Objective,
        settings: RunSettings,
        programs: Programs,
        checkpoints: Checkpoints,
        start: Start,
        progress: bool,
    ):
        self.log = start.log
        self._objective, self._settings, self._progress = objective, settings, progress
        self._programs, self._placement = programs, programs.placement
        self._checkpoints = checkpoints
        self._state, self._start = start.state, start
        self._rows = self._placement.rows(settings.batch_size)
        self._steps = len(objective.training) // settings.batch_size
        self._written = LearningLog(settings.out, start.log, start.step) if leads() else None
        self._requests = Requests(settings.out, settings.checkpoint_seconds, leads())
        with stage("compiling the training step", show=progress):
            self._step = programs.training().compile()
        self._evaluate = None

    def close(self) -> None:
        """Write what is still to be written."""
        if self._written is not None:
            self._written.close()

    def run(self) -> None:
        """Do all that is left.

        Raises:
            FloatingPointError: the loss is not finite.
            KeyboardInterrupt: the run was asked to stop, and has saved the current step.
        """
        step, loss_sum = self._start.step, self._start.loss_sum
        with signals_call(self._requests.stop):
            while len(self.log) < self._settings.epochs:
                epoch = len(self.log)
                if step == epoch * self._steps:
                    loss_sum = 0.0
                    self._begin_stage(epoch)
                loss_sum, rate = self._train(epoch, step, loss_sum)
                step = (epoch + 1) * self._steps
                self._conclude(epoch, loss_sum / self._steps, rate)
            self._objective.finish(self.log, self._predict_at_the_end)

    def _begin_stage(self, epoch: int) -> None:
        """Take the weights and the learning rate of the stage that begins here, if one does."""
        begun = self._objective.stage(epoch, self.log)
        if begun is not None:
            say(begun.reason, show=self._progress)
            self._state = self._programs.stage(
                begun.weights, begun.learning_rate, epoch * self._steps
            )

    def _train(self, epoch: int, step: int, loss_sum: float) -> tuple[float, float]:
        """Train one epoch from a step on; return (sum of its losses, images per second)."""
        settings, began, done = self._settings, time.monotonic(), step
        total = self._steps * settings.epochs
        key = self._programs.key()
        batches = training_batches(
            self._objective.training,
            settings.batching,
            epoch,
            first=step - epoch * self._steps,
            rows=self._rows,
        )
        under_way: deque[tuple[int, Outcome]] = deque()
        request = NOTHING

        def look(ahead: int) -> None:
            """Take in what the steps say, but for the last `ahead` of them."""
            nonlocal loss_sum, request
            while len(under_way) > ahead:
                number, outcome = under_way.popleft()
                loss = float(outcome.loss)
                if not np.isfinite(loss):
                    advice = self._objective.advice(self._checkpoints.latest)
                    raise FloatingPointError(f"the loss is {loss} at step {number}; {advice}")
                loss_sum += loss
                request = max(request, int(outcome.request))
                if self._written is not None:
                    self._written.add_step(number, loss)
                if bar.update(settings.batch_size):
                    left = (total - number) * (time.monotonic() - began) / (number - done)
                    postfix = f"loss {loss:.4f}, run {tqdm.format_interval(left)} left"
                    bar.set_postfix_str(postfix, refresh=False)

        with progress_bar(
            self._steps * settings.batch_size,
            f"epoch {epoch + 1}/{settings.epochs}",
            "img",
            show=self._progress,
            done=(step - epoch * self._steps) * settings.batch_size,
        ) as bar:
            for batch in batches:
                self._state, outcome = self._step(
                    self._state,
                    key,
                    self._placement.shared(batch.images),
                    self._placement.shared(batch.targets),
                    self._placement.request(self._requests.next()),
                )
                step += 1
                under_way.append((step, outcome))
                look(STEPS_AHEAD)
                every = settings.checkpoint_every
                if request >= SAVE or (every and step % every == 0):
                    look(0)
                    self._checkpoints.save(step, self._state, loss_sum)
                    if request == STOP:
                        self._stop(step)
                    request = NOTHING
            look(0)
        rate = (step - done) * settings.batch_size / (time.monotonic() - began)
        self._checkpoints.save(step, self._state, loss_sum)
        if request == STOP:
            self._stop(step)
        return loss_sum, rate

    def _conclude(self, epoch: int, train_loss: float, rate: float) -> None:
        """Validate, export the model if it is the best so far, and write the log."""
        objective, step = self._objective, (epoch + 1) * self._steps
        weights = self._state.weights
        outputs, targets = self._predicted(objective.validation, "validation", weights, step)
        row: Row = {"epoch": epoch + 1, "train_loss": train_loss}
        row |= objective.measures(outputs, targets, epoch)
        row["images_per_second"] = rate
        told = [
            f"epoch {row['epoch']}/{self._settings.epochs}: train loss {row['train_loss']:.4f}",
            f"validation loss {row['validation_loss']:.4f}",
            objective.in_words(row),
        ]
        say(", ".join(filter(None, told)), show=self._progress)
        if objective.is_best(row, self.log):
            # A run that is killed after this must not continue before this epoch, where the best
            # weights were others.
            self._checkpoints.wait()
            if self._written is not None:
                arrays = {name: np.asarray(array) for name, array in weights.items()}
                save_model(
                    self._settings.out / FOLDER,
                    self._programs.model,
                    objective.exported(arrays, outputs, targets),
                    objective.equalization,
                    {"row": row, **objective.notes, "versions": versions()},
                    objective.seen,
                )
        # The row comes after the model: a run that is killed in between writes both again.
        if self._written is None:
            self.log.append(row)
        else:
            self._written.add_epoch(row, step)

    def _predicted(
        self, images: Images, what: str, weights: Weights, step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return outputs and targets of all images.

        `step` is what a stop meanwhile says is saved.
        """
        batching = self._settings.validation_batching
        if self._evaluate is None:
            with stage("compiling the validation", show=self._progress):
                size = batching.crop or images.size
                self._evaluate = self._programs.validation(size).compile()
        predicted, targets = [], []
        batches = validation_batches(images, batching, rows=self._rows)
        with progress_bar(len(images), what, "img", show=self._progress) as bar:
            for batch in batches:
                outputs, wanted, request = self._evaluate(
                    weights,
                    self._placement.shared(batch.images),
                    self._placement.shared(batch.targets),
                    self._placement.request(self._requests.next()),
                )
                if int(request) == STOP:
                    self._stop(step)
                predicted.append(np.asarray(outputs)[: batch.number])
                targets.append(np.asarray(wanted)[: batch.number])
                bar.update(batch.number)
        return np.concatenate(predicted), np.concatenate(targets)

    def _predict_at_the_end(
        self, images: Images, what: str, weights: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Return the outputs of any weights."""
        placed = jax.device_put(dict(weights), self._placement.everywhere)
        return self._predicted(images, what, placed, self._settings.epochs * self._steps)[0]

    def _stop(self, step: int) -> None:
        self._checkpoints.wait()
        self._requests.answered()
        text = f"stopped; step {step} of {self._steps * self._settings.epochs} is saved"
        say(text, show=self._progress)
        raise KeyboardInterrupt(text)
