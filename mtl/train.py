"""Multi-task training: predict all full-reference scores of an image without its reference.

DeepFL-IQA, arXiv:2001.08113, sections IV-B and V-B: equal weights, mean squared error on
histogram-equalised scores, Adam (beta1 0.9, beta2 0.999) at 1e-4, batches of 64, 10 epochs, the
epoch with the smallest validation loss kept.

    RUN/config.json log.csv checkpoints/ model/

`model/` is the self-contained export of the best epoch so far; `checkpoints/` is what a stopped run
continues from, at the last finished epoch.
"""

import hashlib
import importlib.metadata
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx

from fr_metrics import METRICS, HistogramEqualization
from mtl import compilation_cache
from mtl.correlation import plcc, srocc
from mtl.files import InputError, read_table, table_text, write_atomically
from mtl.inception_resnet_v2 import BATCH_NORM_MOMENTUM, SMALLEST_SIDE
from mtl.input_pipeline import ScoredImages, training_batches, validation_batches
from mtl.kadis.generate import EQUALIZATION
from mtl.kadis.plan import read_manifest
from mtl.model import Functional, ModelConfig, Weights, functional_model, mtl_loss
from mtl.progress import progress_bar, say
from mtl.weights import FOLDER, fresh_weights, load_model, save_model

CONFIG_FILE, LOG_FILE, CHECKPOINTS = "config.json", "log.csv", "checkpoints"


@dataclass(frozen=True)
class TrainConfig:
    """One training run; the defaults are the paper's."""

    data: Path
    """Data set that `deepfl generate` wrote."""
    out: Path
    """Folder of the run; an unfinished run of the same settings is continued."""
    init: Path | None = None
    """Model folder to start from; random weights when not given."""
    tasks: tuple[str, ...] = ()
    """Metrics to predict; all that the data set holds when not given."""
    equalize: Literal["on", "off"] = "on"
    """Train on histogram-equalised (on) or raw scores (off)."""
    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 64
    """Images per step."""
    learning_rate: float = 1e-4
    """Of Adam."""
    crop: tuple[int, int] | None = None
    """Height and width of random training crops; whole images when not given."""
    flip: bool = False
    """Mirror half of the training images."""
    momentum: float = BATCH_NORM_MOMENTUM
    """Of batch normalisation's running statistics; below 0.99 for runs of under 500 steps."""
    seed: int = 0
    """Decides initial weights, order, crops and dropout."""


@dataclass(frozen=True)
class Run:
    """A finished training run."""

    out: Path
    model: Path
    log: list[dict[str, float]]
    """One row per epoch: epoch, train_loss, validation_loss, mean_srocc, mean_plcc, per metric."""
    resumed_at: int
    """Epochs that were there before this call."""


@dataclass
class _State:
    parameters: Weights
    statistics: Weights
    optimizer: Any


def train(config: TrainConfig, *, progress: bool = False) -> Run:
    """Train, or continue training, and leave the best model in `config.out / "model"`.

    Args:
        config: the run.
        progress: report on standard error.

    Raises:
        InputError: the data set or the settings cannot be used, or `out` holds another run.
        FloatingPointError: the loss is not finite; says at which step and what to try.
    """
    manifest = read_manifest(config.data)
    tasks = _tasks(config, manifest["plan"]["metrics"])
    equalization = _equalization(config)
    splits = {
        name: ScoredImages(config.data, name, tasks, equalization)
        for name in ("train", "validation")
    }
    _check(config, splits)
    started = _claim(config, manifest["plan"])
    log = read_log(config.out) if started else []
    if len(log) >= config.epochs:
        return Run(config.out, config.out / FOLDER, log, len(log))

    compilation_cache.enable()
    say("building InceptionResNetV2 ...", show=progress)
    given = None if config.init is None else load_model(config.init)
    scaling = {} if given is None else {"scaling": given.config.scaling}
    functional = functional_model(ModelConfig(tasks, momentum=config.momentum, **scaling))
    optimizer = optax.adam(config.learning_rate)
    options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True)
    with ocp.CheckpointManager((config.out / CHECKPOINTS).resolve(), options=options) as manager:
        first = manager.latest_step() or 0
        if len(log) < first:
            raise InputError(f"{config.out / LOG_FILE}: has lost rows; choose another --out")
        log = log[:first]
        if first:
            say(f"continuing after epoch {first} of {config.epochs}", show=progress)
            state = _restored(manager, first, functional, optimizer)
        else:
            weights = fresh_weights(functional, config.seed)
            if given is not None:  # its body, and the heads of the metrics that both have
                weights |= {n: w for n, w in given.weights.items() if n in functional.shapes}
            # Placed like a restored state, so that both run the same compiled program.
            fresh = _as_tree(_fresh(weights, functional, optimizer))
            state = _State(**jax.device_put(fresh, _placement()))
        key = jax.random.key(config.seed)
        step, evaluate = _compiled(functional, optimizer)
        say("compiling the training step: up to two minutes, seconds next time ...", show=progress)
        for epoch in range(first, config.epochs):
            began = time.monotonic()
            train_loss, seen = _epoch(config, epoch, splits["train"], step, state, key, progress)
            seconds = time.monotonic() - began
            row = {"epoch": epoch + 1, "train_loss": train_loss}
            row |= _validate(config, splits["validation"], tasks, evaluate, state)
            row["images_per_second"] = seen / seconds
            log.append(row)
            say(
                f"epoch {epoch + 1}/{config.epochs}: train loss {train_loss:.4f},"
                f" validation loss {row['validation_loss']:.4f},"
                f" mean SROCC {row['mean_srocc']:.3f}, mean PLCC {row['mean_plcc']:.3f}",
                show=progress,
            )
            if row["validation_loss"] <= min(r["validation_loss"] for r in log):
                save_model(
                    config.out / FOLDER,
                    functional.config,
                    state.parameters | state.statistics,
                    equalization,
                    {"row": row, "training": _as_json(config), "versions": versions()},
                )
            # The checkpoint comes last: a run that is killed before it trains this epoch again, and
            # comes to the same weights.
            write_atomically(config.out / LOG_FILE, table_text(log))
            manager.save(epoch + 1, args=ocp.args.StandardSave(_as_tree(state)))
            manager.wait_until_finished()
    return Run(config.out, config.out / FOLDER, log, first)


def read_log(run: Path) -> list[dict[str, float]]:
    """The rows of a run's log.csv; empty when no epoch has ended yet."""
    path = run / LOG_FILE
    if not path.exists():
        return []
    return [
        {name: float(value) for name, value in row.items()}
        for row in read_table(path, ("epoch", "validation_loss"))
    ]


def versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    packages = ("deepfl-iqa", "jax", "flax", "optax", "numpy", "opencv-python-headless")
    return {package: importlib.metadata.version(package) for package in packages}


def _tasks(config: TrainConfig, scored: Sequence[str]) -> tuple[str, ...]:
    for task in config.tasks:
        if task not in scored:
            raise InputError(
                f"--tasks {task}: {config.data} is scored with {' '.join(scored)} only"
            )
    return tuple(m for m in METRICS if m in (config.tasks or scored))


def _equalization(config: TrainConfig) -> HistogramEqualization | None:
    if config.equalize == "off":
        return None
    path = config.data / EQUALIZATION
    try:
        return HistogramEqualization.from_json(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is missing or damaged ({error}); generate it again") from error


def _check(config: TrainConfig, splits: Mapping[str, ScoredImages]) -> None:
    if config.epochs < 1 or config.batch_size < 1 or config.learning_rate <= 0:
        raise InputError("--epochs, --batch-size and --learning-rate must be positive")
    if not 0 < config.momentum < 1:
        raise InputError(f"--momentum {config.momentum}: must lie between 0 and 1")
    size = splits["train"].size
    crop = config.crop or size
    if min(crop) < SMALLEST_SIDE or crop[0] > size[0] or crop[1] > size[1]:
        raise InputError(
            f"images of {crop[0]}×{crop[1]} cannot be cut from {size[0]}×{size[1]} or are below the"
            f" network's {SMALLEST_SIDE}×{SMALLEST_SIDE}; change --crop"
        )
    if len(splits["train"]) < config.batch_size:
        raise InputError(
            f"{config.data}: has {len(splits['train'])} training images, fewer than a batch;"
            f" use a --batch-size below {config.batch_size}"
        )


def _as_json(config: TrainConfig) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(config), default=str))


def _claim(config: TrainConfig, plan: Mapping[str, Any]) -> bool:
    """Write the settings into the run's folder; True if the same run was begun there before."""
    path = config.out / CONFIG_FILE
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
    ours = _as_json(config) | {"plan_sha256": digest}
    if not path.exists():
        if config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
            raise InputError(f"{config.out}: exists and is not a run; choose another --out")
        write_atomically(path, json.dumps(ours, indent=1))
        return False
    try:
        theirs = json.loads(path.read_text())
        # A longer run of the same settings is a continuation, and folders may have been moved: the
        # plan's digest tells whether the data are the same.
        differing = [
            name
            for name in ours
            if name not in ("epochs", "out", "data") and theirs[name] != ours[name]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged; choose another --out") from error
    if differing:
        raise InputError(
            f"{config.out}: holds a run with another {' and '.join(differing)};"
            " choose another --out"
        )
    write_atomically(path, json.dumps(ours, indent=1))
    return True


def _compiled(functional: Functional, optimizer: optax.GradientTransformation):
    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(parameters, statistics, state, key, images, targets):
        def loss(p):
            model = functional.model(p | statistics, training=True)
            predicted = model(images, nnx.Rngs(dropout=key))
            return mtl_loss(predicted, targets), functional.statistics(model)

        (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(parameters)
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), statistics, state, value

    @jax.jit
    def evaluate(parameters, statistics, images):
        return functional.model(parameters | statistics)(images)

    return step, evaluate


def _epoch(config, epoch, images, step, state, key, progress) -> tuple[float, int]:
    """Train one epoch in place; (mean loss, images seen)."""
    steps = len(images) // config.batch_size
    batches = training_batches(
        images,
        batch_size=config.batch_size,
        crop=config.crop,
        flip=config.flip,
        seed=config.seed,
        epoch=epoch,
    )
    losses = []
    what = f"epoch {epoch + 1}/{config.epochs}"
    with progress_bar(steps * config.batch_size, what, "img", show=progress) as bar:
        for k, batch in enumerate(batches):
            number = epoch * steps + k
            state.parameters, state.statistics, state.optimizer, loss = step(
                state.parameters,
                state.statistics,
                state.optimizer,
                jax.random.fold_in(key, number),
                batch.images,
                batch.targets,
            )
            losses.append(float(loss))
            if not np.isfinite(losses[-1]):
                raise FloatingPointError(
                    f"the loss is {losses[-1]} at step {number + 1}; try a smaller"
                    " --learning-rate, and --equalize on if it is off"
                )
            bar.set_postfix_str(f"loss {losses[-1]:.4f}", refresh=False)
            bar.update(config.batch_size)
    return float(np.mean(losses)), len(losses) * config.batch_size


def _validate(config, images, tasks, evaluate, state) -> dict[str, float]:
    """Loss, SROCC and PLCC per metric and their means over the validation split."""
    predicted, targets = [], []
    for batch in validation_batches(images, batch_size=config.batch_size, crop=config.crop):
        outputs = evaluate(state.parameters, state.statistics, batch.images)
        predicted.append(np.asarray(outputs)[: batch.number])
        targets.append(batch.targets[: batch.number])
    p, t = np.concatenate(predicted), np.concatenate(targets)
    row = {"validation_loss": float(np.mean((p - t) ** 2))}
    ranks = {f"srocc_{m}": srocc(p[:, k], t[:, k]) for k, m in enumerate(tasks)}
    linear = {f"plcc_{m}": plcc(p[:, k], t[:, k]) for k, m in enumerate(tasks)}
    row["mean_srocc"] = float(np.mean(list(ranks.values())))
    row["mean_plcc"] = float(np.mean(list(linear.values())))
    return row | ranks | linear


def _fresh(
    weights: Mapping[str, Any], functional: Functional, optimizer: optax.GradientTransformation
) -> _State:
    parameters, statistics = functional.split({n: jnp.asarray(w) for n, w in weights.items()})
    return _State(parameters, statistics, optimizer.init(parameters))


def _placement() -> jax.sharding.Sharding:
    return jax.sharding.SingleDeviceSharding(jax.devices()[0])


def _as_tree(state: _State) -> dict[str, Any]:
    return {f.name: getattr(state, f.name) for f in fields(state)}


def _restored(
    manager: ocp.CheckpointManager,
    epoch: int,
    functional: Functional,
    optimizer: optax.GradientTransformation,
) -> _State:
    """The state after an epoch; only its shapes are made first, so memory holds it once."""
    weights = {
        name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in functional.shapes.items()
    }
    target = jax.eval_shape(lambda w: _as_tree(_fresh(w, functional, optimizer)), weights)
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=_placement()), target
    )
    return _State(**manager.restore(epoch, args=ocp.args.StandardRestore(target)))
