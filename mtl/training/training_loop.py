"""The epochs of a run: training, validation, checkpoints, log and the export of the best model."""

import importlib.metadata
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from fr_metrics import HistogramEqualization
from mtl.evaluation.correlation import plcc, srocc
from mtl.evaluation.seen import SeenRatings, read_seen
from mtl.network.model import Body, ModelConfig, Weights, functional_model
from mtl.network.weights import FOLDER, TrainedModel, fresh_weights, save_model
from mtl.runtime.files import InputError
from mtl.runtime.progress import progress_bar, say, stage
from mtl.runtime.stopping import NOTHING, SAVE, STOP, Requests, signals_call
from mtl.training.checkpoints import Checkpoints
from mtl.training.distributed import leads
from mtl.training.learning_curves import LOG_FILE, LearningLog
from mtl.training.multitask.input_pipeline import Images, training_batches, validation_batches
from mtl.training.multitask.train_config import TrainConfig, as_json
from mtl.training.training_step import Outcome, Placement, Programs, State, computing_as

CHECKPOINTS = "checkpoints"

# Steps that are under way before the loss of the first of them is looked at: the device never waits
# for the host, and the host knows which step a loss belongs to.
STEPS_AHEAD = 2


@dataclass(frozen=True)
class Data:
    """A data set, opened for a run."""

    plan: Mapping[str, Any]
    tasks: tuple[str, ...]
    equalization: HistogramEqualization | None
    training: Images
    validation: Images
    seen: Sequence[SeenRatings] = ()
    """Rated pictures that the weights learn from, here or before."""


def versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    packages = ("deepfl-iqa", "jax", "flax", "optax", "numpy", "opencv-python-headless")
    return {package: importlib.metadata.version(package) for package in packages}


def train_on(
    config: TrainConfig,
    data: Data,
    log: list[dict[str, float]],
    given: TrainedModel | None,
    body: Body,
    progress: bool,
) -> list[dict[str, float]]:
    """Train what is left of a run on the devices of all processes; the whole log.

    Args:
        config: the run.
        data: what it trains on.
        log: rows that earlier calls have written.
        given: model to start from; None starts at random.
        body: the network's convolutional part.
        progress: report on standard error.

    Raises:
        InputError: the devices cannot share a batch, `given` has another width, or the log has
            lost rows.
        FloatingPointError: the loss is not finite.
        KeyboardInterrupt: the run was asked to stop, and has saved the current step.
    """
    if given is not None:
        data = replace(data, seen=read_seen(given.folder))
    placement = Placement()
    scaling = {} if given is None else {"scaling": given.config.scaling}
    if given is not None and given.config.width != config.width:
        raise InputError(
            f"--init {config.init}: has the width {given.config.width}, not {config.width}; give"
            f" --width {given.config.width}"
        )
    with stage("building the network", show=progress):
        functional = functional_model(
            ModelConfig(data.tasks, momentum=config.momentum, width=config.width, **scaling),
            computing_as(config, body),
        )
    steps = len(data.training) // config.batch_size
    size = config.crop or data.training.size
    programs = Programs(config, functional, steps * config.epochs, size, placement)

    def initial() -> dict[str, np.ndarray]:
        weights = fresh_weights(functional, config.seed)
        if given is not None:  # its body, and the heads of the metrics that both have
            weights |= {n: w for n, w in given.weights.items() if n in functional.shapes}
        return weights

    checkpoints = Checkpoints(config.out / CHECKPOINTS, config.checkpoints_kept)
    with closing(checkpoints):
        start = starting_point(config, programs, checkpoints, initial, log, steps, progress)
        loop = Loop(config, data, placement, programs, checkpoints, start, progress)
        with closing(loop):
            loop.run()
    return loop.log


@dataclass(frozen=True)
class Start:
    """Where a run begins or goes on."""

    step: int
    """Steps taken."""
    state: State
    loss_sum: float
    """Of the epoch's steps so far."""
    log: list[dict[str, float]]
    """Rows of the epochs that are done."""


def starting_point(
    config: TrainConfig,
    programs: Programs,
    checkpoints: Checkpoints,
    initial: Callable[[], Mapping[str, np.ndarray]],
    log: list[dict[str, float]],
    steps: int,
    progress: bool,
) -> Start:
    """The latest checkpoint, or the first step.

    Args:
        config: the run.
        programs: of the run.
        checkpoints: of the run.
        initial: gives the weights to begin with.
        log: rows that earlier calls have written.
        steps: in an epoch.
        progress: report on standard error.

    Raises:
        InputError: the log has fewer rows than there were epochs.
    """
    first = checkpoints.latest
    if first is None:
        return Start(0, programs.fresh(initial()), 0.0, [])
    # After the last step of an epoch its validation may still have to be done.
    if len(log) < (first - 1) // steps:
        raise InputError(f"{config.out / LOG_FILE}: has lost rows; choose another --out")
    state, loss_sum = checkpoints.restore(first, programs.layout)
    say(f"continuing after step {first} of {steps * config.epochs}", show=progress)
    return Start(first, state, loss_sum, log[: first // steps])


class Loop:
    """What is left of a run: its epochs, from the state of a checkpoint or the first one."""

    def __init__(
        self,
        config: TrainConfig,
        data: Data,
        placement: Placement,
        programs: Programs,
        checkpoints: Checkpoints,
        start: Start,
        progress: bool,
    ):
        self.config, self.data, self.progress = config, data, progress
        self.placement, self.programs, self.checkpoints = placement, programs, checkpoints
        self.state, self.log = start.state, start.log
        self.begun, self.loss_sum = start.step, start.loss_sum
        self.rows = placement.rows(config.batch_size)
        self.leads = leads()
        self.steps = len(data.training) // config.batch_size
        self.written = LearningLog(config.out, start.log, start.step) if self.leads else None
        self.requests = Requests(config.out, config.checkpoint_seconds, self.leads)
        with stage("compiling the training step", show=progress):
            self.step = programs.training().compile()
        self.evaluate = None

    def close(self) -> None:
        """Write what is still to be written."""
        if self.written is not None:
            self.written.close()

    def run(self) -> None:
        """Do all that is left."""
        step, loss_sum = self.begun, self.loss_sum
        with signals_call(self.requests.stop):
            while len(self.log) < self.config.epochs:
                epoch = len(self.log)
                if step == epoch * self.steps:
                    loss_sum = 0.0
                    self._begin(epoch)
                loss_sum, rate = self._train(epoch, step, loss_sum)
                step = (epoch + 1) * self.steps
                row: dict[str, float] = {"epoch": epoch + 1, "train_loss": loss_sum / self.steps}
                row |= self._validate(epoch)
                row["images_per_second"] = rate
                self._conclude(row, step)

    def _begin(self, epoch: int) -> None:
        """Called before an epoch's first step."""

    def _train(self, epoch: int, step: int, loss_sum: float) -> tuple[float, float]:
        """Train one epoch from a step on; (sum of its losses, images per second)."""
        c, began, done = self.config, time.monotonic(), step
        total = self.steps * c.epochs
        key = self.programs.key()
        batches = training_batches(
            self.data.training,
            batch_size=c.batch_size,
            crop=c.crop,
            flip=c.flip,
            seed=c.seed,
            epoch=epoch,
            first=step - epoch * self.steps,
            rows=self.rows,
            workers=c.loader_workers,
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
                    raise FloatingPointError(self._advice(number, loss))
                loss_sum += loss
                request = max(request, int(outcome.request))
                if self.written is not None:
                    self.written.add_step(number, loss)
                if bar.update(c.batch_size):
                    left = (total - number) * (time.monotonic() - began) / (number - done)
                    postfix = f"loss {loss:.4f}, run {tqdm.format_interval(left)} left"
                    bar.set_postfix_str(postfix, refresh=False)

        with progress_bar(
            self.steps * c.batch_size,
            f"epoch {epoch + 1}/{c.epochs}",
            "img",
            show=self.progress,
            done=(step - epoch * self.steps) * c.batch_size,
        ) as bar:
            for batch in batches:
                self.state, outcome = self.step(
                    self.state,
                    key,
                    self.placement.shared(batch.images),
                    self.placement.shared(batch.targets),
                    self.placement.request(self.requests.next()),
                )
                step += 1
                under_way.append((step, outcome))
                look(STEPS_AHEAD)
                if request >= SAVE or (c.checkpoint_every and step % c.checkpoint_every == 0):
                    look(0)
                    self.checkpoints.save(step, self.state, loss_sum)
                    if request == STOP:
                        self._stop(step)
                    request = NOTHING
            look(0)
        rate = (step - done) * c.batch_size / (time.monotonic() - began)
        self.checkpoints.save(step, self.state, loss_sum)
        if request == STOP:
            self._stop(step)
        return loss_sum, rate

    def _validate(self, epoch: int) -> dict[str, float]:
        """Loss, SROCC and PLCC per metric and their means over the validation split."""
        tasks, images, step = self.data.tasks, self.data.validation, (epoch + 1) * self.steps
        p, t = self._predicted(images, "validation", self.state.weights, step)
        row = {"validation_loss": float(np.mean((p - t) ** 2))}
        ranks = {f"srocc_{m}": srocc(p[:, k], t[:, k]) for k, m in enumerate(tasks)}
        linear = {f"plcc_{m}": plcc(p[:, k], t[:, k]) for k, m in enumerate(tasks)}
        row["mean_srocc"] = float(np.mean(list(ranks.values())))
        row["mean_plcc"] = float(np.mean(list(linear.values())))
        return row | ranks | linear

    def _predicted(
        self, images: Images, what: str, weights: Weights, step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Outputs and targets of all images; `step` is what a stop meanwhile says is saved."""
        c = self.config
        if self.evaluate is None:
            with stage("compiling the validation", show=self.progress):
                self.evaluate = self.programs.validation().compile()
        predicted, targets = [], []
        with progress_bar(len(images), what, "img", show=self.progress) as bar:
            for batch in validation_batches(
                images,
                batch_size=c.batch_size,
                crop=c.crop,
                rows=self.rows,
                workers=c.loader_workers,
            ):
                outputs, wanted, request = self.evaluate(
                    weights,
                    self.placement.shared(batch.images),
                    self.placement.shared(batch.targets),
                    self.placement.request(self.requests.next()),
                )
                if int(request) == STOP:
                    self._stop(step)
                predicted.append(np.asarray(outputs)[: batch.number])
                targets.append(np.asarray(wanted)[: batch.number])
                bar.update(batch.number)
        return np.concatenate(predicted), np.concatenate(targets)

    def _conclude(self, row: dict[str, float], step: int) -> None:
        """Export the model if it is the best so far, and write the log."""
        c = self.config
        say(
            f"epoch {row['epoch']}/{c.epochs}: train loss {row['train_loss']:.4f},"
            f" validation loss {row['validation_loss']:.4f},"
            f" mean SROCC {row['mean_srocc']:.3f}, mean PLCC {row['mean_plcc']:.3f}",
            show=self.progress,
        )
        if self.written is None:
            self.log.append(row)
            return
        # The row comes after the model: a run that is killed in between writes both again.
        if all(row["validation_loss"] <= other["validation_loss"] for other in self.log):
            save_model(
                c.out / FOLDER,
                self.programs.model,
                {name: np.asarray(array) for name, array in self.state.weights.items()},
                self.data.equalization,
                {"row": row, "training": as_json(c), "versions": versions()},
                self.data.seen,
            )
        self.written.add_epoch(row, step)

    def _stop(self, step: int) -> None:
        self.checkpoints.wait()
        self.requests.answered()
        text = f"stopped; step {step} of {self.steps * self.config.epochs} is saved"
        say(text, show=self.progress)
        raise KeyboardInterrupt(text)

    def _advice(self, step: int, loss: float) -> str:
        saved = self.checkpoints.latest
        advice = [
            f"the loss is {loss} at step {step}; try a smaller --learning-rate",
            "--equalize on" if self.config.equalize == "off" else "",
            "--dtype float32" if self.config.dtype != "float32" else "",
        ]
        text = " or ".join(part for part in advice if part)
        return text + (f", in a new --out (step {saved} is saved)" if saved else "")
