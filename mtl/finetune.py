"""End-to-end training on human scores: KonCept512, and two schemes of DeepFL-IQA's table II.

KonIQ-10k, doi:10.1109/TIP.2020.2967829, sections 5 and 6.1 (KonCept512): the whole network with a
head of FC 2048, 1024 and 256 (mtl.model), its five losses and others (mtl.opinion_losses), Adam
(beta1 0.9, beta2 0.999) at 1e-4 for 40 epochs, 5e-5 for 20 and 1e-5 for 10; each stage starts from
the weights with the best PLCC on the validation part so far, and those are tested at the end.

DeepFL-IQA, arXiv:2001.08113, section V-D1, schemes of table II, by what `init` is: (1) a body
trained on ImageNet; (2) a body trained weakly supervised, by `mtl.train`. There the head is one
linear layer (--head linear). Schemes 3 and 4 are features and a regressor; mlsp.compare does all.

DeepBIQ, arXiv:1602.05531, sections 2.3 and 3.3: --loss classes sorts the scores into five classes
of equal width, which are learned with cross-entropy and weights against their frequencies; the
predicted score is here the expectation over the classes' centres. On a scale of 0..100, as there,
it is --scale 0 100. KonIQ-10k-LT, section V: --balance proportion weighs the pictures of any other
loss against the frequency of their scores (both mtl.balancing). Weights are for training alone;
validation and test have none. The losses plcc and norm-in-norm compare the pictures of a batch and
leave scale and offset open: after each epoch a straight line that is fitted to the validation part
brings the predictions onto the scale, and it is part of the model that is kept.

What the papers leave open: scores of MAE and MSE are mapped to 0..1 by the lowest and the highest
of the training part, so that the losses of all tables are alike. A distribution is trained on, and
tested by, the shares of the ratings and their mean, whatever score the table has beside them. Adam
starts anew with each stage. "Best" is over all stages, the first of equals. All layers are trained,
batch normalisation by the statistics of the batch, as in Keras. There is no augmentation unless
asked for. The paper's batch is the largest power of two that its memory holds; here 16.

    RUN/config.json splits.csv log.csv learning.png tensorboard/ checkpoints/ model/
    RUN/predictions.csv summary.csv    of the test part, when all epochs are done

A stopped run continues at the step where it stopped; a file RUN/stop, made by anyone, stops it. One
process trains, on all devices it has.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import optax
from jaxtyping import Float

from mtl import compilation_cache
from mtl.balancing import CLASSES, class_weights, segment_weights, segments_of
from mtl.checkpoints import Checkpoints
from mtl.correlation import plcc, srocc
from mtl.files import InputError, read_arrays, read_table, table_text, write_atomically
from mtl.inception_resnet_v2 import BATCH_NORM_MOMENTUM, InceptionResNetV2
from mtl.learning_curves import LOG_FILE, read_log
from mtl.model import Body, ModelConfig, Opinion, functional_model
from mtl.opinion_losses import LOSSES, RATINGS, expected_score, line_onto, opinion_scores
from mtl.progress import say, stage
from mtl.rated import (
    COUNTS,
    PARTS,
    TEST,
    TRAINING,
    VALIDATION,
    RatedImages,
    common_size,
    read_ratings,
    split_ratings,
    splits_text,
)
from mtl.stopping import signals_call
from mtl.train import claim, starting_model
from mtl.train_config import TrainConfig, as_json, check
from mtl.training_loop import CHECKPOINTS, Data, Loop, versions
from mtl.training_step import Placement, Programs, State, computing_as
from mtl.weights import (
    FOLDER,
    IMAGENET,
    MODEL_FILE,
    WEIGHTS_FILE,
    TrainedModel,
    fresh_weights,
    save_model,
)

# The head's last layer, which takes up the line of a loss that leaves the scale open.
OUT_KERNEL, OUT_BIAS = "opinion/out/kernel", "opinion/out/bias"

# Two pictures always correlate with 1 or -1.
FEWEST_COMPARED = 3

SPLITS_FILE, PREDICTIONS_FILE, SUMMARY_FILE = "splits.csv", "predictions.csv", "summary.csv"

Loss = Literal["mae", "mse", "cross_entropy", "huber", "emd", "plcc", "norm-in-norm", "classes"]

# What a run started from, as DeepFL-IQA's table II names it where it does.
FROM_RANDOM = "random weights"
FROM_IMAGENET = "fine-tune (ImageNet)"
FROM_METRICS = "fine-tune (weakly supervised)"
FROM_OPINIONS = "fine-tune (human scores)"
FROM_OTHER = "fine-tune (other weights)"

# What may change between two calls that continue one run.
FREE = (
    "ratings",  # may have been moved; its digest tells whether it is the same
    "out",
    "checkpoint_every",
    "checkpoint_seconds",
    "checkpoints_kept",
    "loader_workers",
)


@dataclass(frozen=True)
class FinetuneConfig:
    """One run; the defaults are KonCept512's, whose pictures have --size 384 512."""

    ratings: Path
    """CSV file image,score or image,c1,c2,c3,c4,c5; also reference and set where there are any."""
    init: str
    """Weights to start from: imagenet, a model folder or run, or random."""
    out: Path
    """Folder of the run; an unfinished run of the same settings is continued."""
    loss: Loss = "mse"
    """Of scores (mae, mse, plcc, norm-in-norm), of distributions, which need c1..c5 (cross_entropy,
    huber, emd), or of five classes of scores (classes)."""
    head: Literal["koncept", "linear"] = "koncept"
    """On the body's 1,536 features: KonCept512's FC 2048, 1024 and 256, or one linear layer."""
    balance: Literal["none", "proportion"] = "none"
    """Weigh training pictures by how rare their scores are; classes always does, in its own way."""
    scale: tuple[float, float] | None = None
    """Lowest and highest possible score; those of the training part when not given."""
    stages: tuple[tuple[float, int], ...] = ((1e-4, 40), (5e-5, 20), (1e-5, 10))
    """Learning rate and epochs of each stage, one after the other."""
    size: tuple[int, int] | None = None
    """Height and width to resize to, kept in the model; all as they are when not given."""
    batch_size: int = 16
    """Pictures per step, over all devices."""
    flip: bool = False
    """Mirror half of the training pictures."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, statistics, head and loss are float32."""
    accumulate: int = 1
    """Parts a batch is computed in, one after the other; batch statistics are those of a part."""
    remat: bool = False
    """Compute activations a second time for the gradient instead of keeping them (GPUs)."""
    momentum: float = BATCH_NORM_MOMENTUM
    """Of batch normalisation's running statistics; below 0.99 for runs of under 500 steps."""
    seed: int = 0
    """Decides the split, unless the table has one, initial weights, order and dropout."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 leaves it to --checkpoint-seconds and the ends of epochs."""
    checkpoint_seconds: float = 600.0
    """Seconds between checkpoints."""
    checkpoints_kept: int = 2
    """Latest checkpoints to keep."""
    loader_workers: int = 0
    """Processes that read and decode pictures; 0 uses threads."""


@dataclass(frozen=True)
class Finetuned:
    """A finished run."""

    out: Path
    model: Path
    scheme: str
    """What it started from, as DeepFL-IQA's table II names it."""
    log: list[dict[str, float]]
    """A row per epoch: epoch, losses, learning_rate, and srocc, plcc, rmse, mae of validation."""
    test: dict[str, float]
    """images, srocc, plcc, rmse, mae on the test part, and the epoch of the weights."""
    resumed_at: int
    """Epochs that were there before this call."""


@dataclass(frozen=True)
class _Data:
    """The table, split and opened."""

    parts: Mapping[str, RatedImages]
    names: Mapping[str, Sequence[str]]
    scores: Mapping[str, Float[np.ndarray, " n"]]
    size: tuple[int, int]
    opinion: Opinion
    splits: str
    """The text of splits.csv."""
    loss: Callable[[jax.Array, jax.Array], jax.Array]
    """(outputs, targets) of a training batch → loss, with the weights of its pictures."""


def finetune(
    config: FinetuneConfig, *, progress: bool = False, body: Body = InceptionResNetV2
) -> Finetuned:
    """Fine-tune, or continue, test, and leave the best model in `config.out / "model"`.

    Args:
        config: the run.
        progress: report on standard error.
        body: the network's convolutional part.

    Raises:
        InputError: table, pictures or settings cannot be used, or `out` holds another run.
        FloatingPointError: the loss is not finite; says at which step and what to try.
        KeyboardInterrupt: SIGINT, SIGTERM or the file `out / "stop"` stopped the run, after the
            current step was saved.
    """
    if not config.stages or any(rate <= 0 or epochs < 1 for rate, epochs in config.stages):
        raise InputError("--stages: give a positive learning rate and at least one epoch for each")
    data = _open(config)
    settings = _step_settings(config)
    check(settings, data.size, len(data.parts[TRAINING]))
    given = starting_model(config.init)
    scheme = _scheme(config.init, given)
    digest = hashlib.sha256(config.ratings.read_bytes()).hexdigest()
    claim(config.out, as_json(config) | {"ratings_sha256": digest, "scheme": scheme}, _differing)
    write_atomically(config.out / SPLITS_FILE, data.splits)
    log = read_log(config.out)
    before = len(log)
    summary = config.out / SUMMARY_FILE
    if before < settings.epochs or not summary.is_file():
        compilation_cache.enable()
        log = _finetune_on(config, settings, data, log, given, scheme, body, progress)
    (row,) = read_table(summary, ("srocc",))
    test = {name: float(value) for name, value in row.items() if name not in ("scheme", "loss")}
    return Finetuned(config.out, config.out / FOLDER, scheme, log, test, min(before, len(log)))


def _open(config: FinetuneConfig) -> _Data:
    ratings = read_ratings(config.ratings)
    loss, classes = LOSSES[config.loss], config.loss == "classes"
    distributed = loss.outputs > 1 and not classes
    if classes and config.balance != "none":
        raise InputError("--loss classes weighs the classes already; leave --balance out")
    if loss.scale_free and config.batch_size // max(1, config.accumulate) < FEWEST_COMPARED:
        raise InputError(
            f"--loss {config.loss}: compares the pictures of a batch, or of its --accumulate parts;"
            f" each needs at least {FEWEST_COMPARED}"
        )
    if distributed:
        if config.scale is not None:
            raise InputError(f"--loss {config.loss}: ratings are 1..{RATINGS}; leave --scale out")
        if ratings.distributions is None:
            raise InputError(
                f"--loss {config.loss}: learns the distribution of the ratings, which a score does"
                f" not tell; {config.ratings} needs {' '.join(COUNTS)}, or use --loss mse"
            )
        ratings = replace(ratings, scores=expected_score(ratings.distributions))
    rows = split_ratings(ratings, config.seed)
    size = common_size(ratings, config.size)
    known = ratings.scores[rows[TRAINING]]
    lowest, highest = config.scale or (float(known.min()), float(known.max()))
    if config.scale is not None:
        _check_scale(config, ratings.scores)
    if distributed:
        lowest, highest = 1.0, float(RATINGS)
        targets = ratings.distributions
    elif classes:
        targets = np.eye(CLASSES)[segments_of(ratings.scores, lowest, highest, CLASSES)]
    else:
        targets = ((ratings.scores - lowest) / (highest - lowest))[:, None]
    assert targets is not None  # a distribution is there, or refused above
    names = {part: [ratings.names[k] for k in rows[part]] for part in PARTS}
    folder = config.ratings.parent
    return _Data(
        {part: RatedImages(folder, names[part], targets[rows[part]], size) for part in PARTS},
        names,
        {part: ratings.scores[rows[part]] for part in PARTS},
        size,
        Opinion(
            loss.outputs,
            lowest,
            highest,
            config.size,
            config.ratings.name,
            classes,
            config.head == "koncept",
        ),
        splits_text(ratings, rows),
        _training_loss(config, targets[rows[TRAINING]]),
    )


def _check_scale(config: FinetuneConfig, scores: Float[np.ndarray, " n"]) -> None:
    assert config.scale is not None  # it is what is checked
    lowest, highest = config.scale
    if not (lowest <= scores.min() and scores.max() <= highest and lowest < highest):
        raise InputError(
            f"--scale {lowest:g} {highest:g}: {config.ratings} has scores of {scores.min():g} to"
            f" {scores.max():g}; give the lowest and the highest possible score"
        )


def _training_loss(
    config: FinetuneConfig, targets: Float[np.ndarray, "n k"]
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The loss of a batch, with the weights that the targets of the training part ask for.

    A picture's weight follows from its target, so that batches need not carry it.
    """
    function = LOSSES[config.loss].function
    if config.loss == "classes":
        of_class = class_weights(targets.argmax(axis=1)).astype(np.float32)
        return lambda outputs, target: function(outputs, target, target @ of_class)
    if config.balance == "none":
        return function
    score: Callable[[Any], Any] = expected_score if targets.shape[1] > 1 else lambda t: t[:, 0]
    lowest, highest = (1.0, float(RATINGS)) if targets.shape[1] > 1 else (0.0, 1.0)
    # In the precision in which the steps see the targets.
    weights = segment_weights(score(targets.astype(np.float32)), lowest, highest)
    return lambda outputs, target: function(outputs, target, weights(score(target)))


def _step_settings(config: FinetuneConfig) -> TrainConfig:
    """The run as the shared steps and epochs know it; the learning rate changes on the way."""
    return TrainConfig(
        config.ratings,
        config.out,
        config.init,
        epochs=sum(epochs for _, epochs in config.stages),
        batch_size=config.batch_size,
        learning_rate=config.stages[0][0],
        flip=config.flip,
        dtype=config.dtype,
        accumulate=config.accumulate,
        remat=config.remat,
        momentum=config.momentum,
        seed=config.seed,
        checkpoint_every=config.checkpoint_every,
        checkpoint_seconds=config.checkpoint_seconds,
        checkpoints_kept=config.checkpoints_kept,
        loader_workers=config.loader_workers,
    )


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    # Runs older than these settings had their defaults.
    theirs = {"balance": "none", "scale": None, "head": "koncept", **theirs}
    return [name for name in ours if name not in FREE and theirs[name] != ours[name]]


def _scheme(init: str, given: TrainedModel | None) -> str:
    if given is None:
        return FROM_RANDOM
    if given.config.opinion is not None:
        return FROM_OPINIONS
    notes = json.loads((given.folder / MODEL_FILE).read_text()).get("notes", {})
    origin = notes.get("origin", {}).get("weights", "")
    if init == IMAGENET or "ImageNet" in origin:
        return FROM_IMAGENET
    if given.config.metrics or "authors' body" in origin:
        return FROM_METRICS
    return FROM_OTHER


def _finetune_on(
    config: FinetuneConfig,
    settings: TrainConfig,
    data: _Data,
    log: list[dict[str, float]],
    given: TrainedModel | None,
    scheme: str,
    body: Body,
    progress: bool,
) -> list[dict[str, float]]:
    """Do what is left of a run on all devices, the test included; the whole log."""
    placement = Placement()
    kept = {}
    if given is not None:
        kept = {"scaling": given.config.scaling, "width": given.config.width}
    with stage("building the network", show=progress):
        functional = functional_model(
            ModelConfig((), momentum=config.momentum, opinion=data.opinion, **kept),
            computing_as(settings, body),
        )
    steps = len(data.parts[TRAINING]) // config.batch_size
    programs = Programs(
        settings,
        functional,
        steps * settings.epochs,
        data.size,
        placement,
        data.loss,
        # The learning rate is part of the state, so that all stages share one compiled program.
        optax.inject_hyperparams(optax.adam, static_args=("b1", "b2", "eps", "eps_root"))(
            learning_rate=config.stages[0][0]
        ),
    )
    checkpoints = Checkpoints(config.out / CHECKPOINTS, config.checkpoints_kept)
    loop = None
    try:
        first = checkpoints.latest
        if first is None:
            weights = fresh_weights(functional, config.seed)
            if given is not None:
                weights |= {n: w for n, w in given.weights.items() if n.startswith("body/")}
            state, loss_sum, log = programs.fresh(weights), 0.0, []
        else:
            # After the last step of an epoch its validation may still have to be done.
            if len(log) < (first - 1) // steps:
                raise InputError(f"{config.out / LOG_FILE}: has lost rows; choose another --out")
            state, loss_sum = checkpoints.restore(first, programs.layout)
            log = log[: first // steps]
            say(f"continuing after step {first} of {steps * settings.epochs}", show=progress)
        loop = _Stages(config, settings, data, scheme, placement, programs, checkpoints, state, log,
                       progress)  # fmt: skip
        loop.run(first or 0, loss_sum)
        with signals_call(loop.requests.stop):
            loop.test()
        return log
    finally:
        checkpoints.close()
        if loop is not None:
            loop.close()


class _Stages(Loop):
    """The epochs of all stages, and the test."""

    def __init__(
        self,
        config: FinetuneConfig,
        settings: TrainConfig,
        data: _Data,
        scheme: str,
        placement: Placement,
        programs: Programs,
        checkpoints: Checkpoints,
        state: State,
        log: list[dict[str, float]],
        progress: bool,
    ):
        self.line = (1.0, 0.0)
        opened = Data({}, (), None, data.parts[TRAINING], data.parts[VALIDATION])
        super().__init__(settings, opened, placement, programs, checkpoints, state, log, progress)
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
