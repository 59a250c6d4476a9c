"""Training of shallow networks: all repetitions and learning rates of a benchmark at once.

DeepFL-IQA, arXiv:2001.08113, sections IV-D and V-B: mean squared error, Adam with the learning rate
of 1e-1 ... 1e-5 that validates best, 30 epochs, the epoch with the smallest validation loss kept.

A member is one network: a repetition with one learning rate. Members are a leading axis of all
arrays (vmap); there is one copy of the features, from which each member gathers its rows and
standardises them with the statistics of its own training part. A member's numbers depend on its
repetition's seed and split and on its learning rate, not on the members beside it, but for the
rounding of float32 (of TF32 in the matrix products of a GPU that has it).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from mlsp.regression.regressor_network import (
    UNITS,
    Parameters,
    initial_parameters,
    learned_parameters,
    network,
    on_line,
)
from mtl.evaluation.splits import Split
from mtl.runtime.files import InputError
from mtl.runtime.memory import free_memory
from mtl.runtime.progress import progress_bar
from mtl.training.opinions.losses import LOSSES, line_onto

# Rows a network is given at once where it only predicts.
ROWS_AT_ONCE = 256

# Of the free memory: of a device that is for this alone, and of a machine that others use, too.
DEVICE_SHARE, MACHINE_SHARE = 0.9, 0.5
LITTLE = 2**31  # bytes, where nothing is known

Loss = Literal["mse", "mae", "plcc", "norm-in-norm"]


@dataclass(frozen=True)
class MLPSettings:
    """Training of the paper's network."""

    learning_rates: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    """All are tried; the one that validates best is kept."""
    epochs: int = 30
    batch_size: int = 64
    units: tuple[int, int, int] = UNITS
    """Of the hidden layers; the paper's."""
    batch_norm: bool = False
    """The published program's variant, see mlsp.regression.regressor_network."""
    momentum: float = 0.99
    """Of batch normalisation's running statistics; below it for runs of under 500 steps."""
    loss: Loss = "mse"
    """mtl.training.opinions.losses, of scores with mean 0 and deviation 1; plcc and
    norm-in-norm compare the pictures of a batch, and their predictions are brought onto the scale
    by a straight line that is fitted to the validation part."""

    @property
    def kind(self) -> Literal["mlp", "mlp-bn"]:
        """Name of the regressor."""
        return "mlp-bn" if self.batch_norm else "mlp"


@dataclass(frozen=True)
class Trained:
    """The best of a repetition's networks, at its best epoch."""

    rate: float
    loss: float
    """Of the validation part, without weights."""
    predicted: Float[np.ndarray, " t"]
    """Of the test part, in deviations of the training scores from their mean."""
    others: list[Float[np.ndarray, " m"]]
    """Of the other databases, likewise."""
    parameters: dict[str, np.ndarray] | None
    """Where they were asked for, with the line of a loss that does not see the scale."""


def member_bytes(settings: MLPSettings, features: int, *, keep: bool) -> int:
    """Memory that training one member takes, features not counted.

    Parameters, two moments of Adam, the gradient, and the best parameters if they are kept; and
    the rows of a batch: gathered, standardised, and multiplied.
    """
    weights = sum(a * b + b for a, b in pairwise((features, *settings.units, 1)))
    rows = max(settings.batch_size, ROWS_AT_ONCE) * (2 * features + 3 * sum(settings.units))
    return 4 * (weights * (4 + keep) + rows)


def available_bytes() -> int:
    """Memory that members may take: most of what a device has left, or half of what a machine has.

    A machine's is not all taken, since others use it, too.
    """
    free = free_memory()
    if free is None:
        return LITTLE
    return int((MACHINE_SHARE if jax.default_backend() == "cpu" else DEVICE_SHARE) * free)


def train_networks(
    settings: MLPSettings,
    features: Float[Array, "n f"],
    targets: Float[np.ndarray, "s n"],
    splits: Sequence[Split],
    means: Float[np.ndarray, "s f"],
    deviations: Float[np.ndarray, "s f"],
    *,
    seeds: Sequence[int],
    weights: Float[np.ndarray, "s n"] | None = None,
    others: Sequence[Float[Array, "m f"]] = (),
    keep: bool = False,
    memory: int | None = None,
    after_epoch: Callable[[], None] | None = None,
    progress: bool = False,
) -> list[Trained]:
    """Train a network per split and learning rate, in groups as large as the memory allows.

    Args:
        settings: of the training.
        features: on the device, float32 or float16.
        targets: the scores, standardised for each split.
        splits: training, validation and test rows; the test part may be empty.
        means: of the features of each split's training part.
        deviations: likewise, above 0.
        seeds: of each split's initial weights, order and dropout.
        weights: of the training pictures in the loss; none weighs all alike.
        others: features of other databases.
        keep: give back the parameters.
        memory: bytes for the members; `available_bytes` where not given.
        after_epoch: called after each epoch of each group.
        progress: report on standard error.

    Raises:
        InputError: the loss of a split is finite with no learning rate.
    """
    best: list[Trained | None] = [None] * len(splits)
    groups = _groups(settings, features.shape[1], splits, keep or bool(others), memory)
    if weights is None:
        weights = np.ones(targets.shape, np.float32)
    total = len(splits) * len(settings.learning_rates) * settings.epochs
    with progress_bar(total, settings.kind, "epoch", show=progress) as bar:
        for group in groups:
            of = [split for split, _ in group]
            fixed = _Fixed(
                jnp.asarray(means[of]),
                jnp.asarray(deviations[of]),
                jnp.asarray(targets[of]),
                jnp.asarray(weights[of]),
                jnp.asarray([rate for _, rate in group], jnp.float32),
                *_padded([splits[s].validation for s in of]),
            )
            trained = _train_group(
                settings,
                features,
                fixed,
                targets,
                splits,
                group,
                seeds,
                others,
                keep,
                bar,
                after_epoch or (lambda: None),
            )
            for (split, _), found in zip(group, trained, strict=True):
                known = best[split]
                # A diverged member's loss is never finite and never smaller.
                if found.loss < (np.inf if known is None else known.loss):
                    best[split] = found
    if any(found is None for found in best):
        raise InputError(
            "the network diverged with every learning rate; are the scores or features finite?"
        )
    return [found for found in best if found is not None]


Member = tuple[int, float]  # number of the split, learning rate


def _groups(
    settings: MLPSettings, features: int, splits: Sequence[Split], keep: bool, memory: int | None
) -> list[list[Member]]:
    """All members, in groups of about the same size; those of a group have the same batch size."""
    memory = available_bytes() if memory is None else memory
    at_once = max(1, memory // member_bytes(settings, features, keep=keep))
    by_batch: dict[int, list[Member]] = {}
    for number, split in enumerate(splits):
        members = by_batch.setdefault(min(settings.batch_size, len(split.train)), [])
        members += [(number, rate) for rate in settings.learning_rates]
    groups = []
    for members in by_batch.values():
        bounds = np.linspace(0, len(members), -(-len(members) // at_once) + 1).astype(int)
        groups += [members[a:b] for a, b in pairwise(bounds)]
    return groups


def _train_group(
    settings: MLPSettings,
    features: Array,
    fixed: "_Fixed",
    targets: np.ndarray,
    splits: Sequence[Split],
    group: Sequence[Member],
    seeds: Sequence[int],
    others: Sequence[Array],
    keep: bool,
    bar: Any,
    after_epoch: Callable[[], None],
) -> list[Trained]:
    of = [number for number, _ in group]
    batch = min(settings.batch_size, len(splits[of[0]].train))
    used = sorted(set(of))
    parts = {s: splits[s] for s in used}
    tested, _ = _padded([parts[s].test for s in of])
    keys = jnp.stack([jax.random.key(seeds[s]) for s in of])
    keep_best = keep or bool(others)
    state = _begin(keys, features.shape[1], settings.units, settings.batch_norm, keep_best)

    # Every learning rate of a repetition sees the same pictures in the same order.
    orders = {s: np.random.default_rng([seeds[s], 1]) for s in used}
    batches = np.array([len(parts[s].train) // batch for s in of])
    best = np.full(len(group), np.inf)
    predicted = np.zeros((len(group), tested.shape[1] * tested.shape[2]), np.float32)
    validated = np.zeros((len(group), fixed.inside.shape[1]), np.float32)
    for epoch in range(settings.epochs):
        drawn = {s: parts[s].train[orders[s].permutation(len(parts[s].train))] for s in used}
        order = np.zeros((len(group), batches.max(), batch), np.int32)
        for m, s in enumerate(of):
            order[m, : batches[m]] = drawn[s][: batches[m] * batch].reshape(-1, batch)
        state, loss, outputs = _epoch(
            state,
            fixed,
            features,
            order,
            batches,
            epoch,
            settings.loss,
            settings.momentum,
            bool(np.ptp(batches)),
        )
        better = np.asarray(loss) < best
        if better.any():
            best = np.where(better, loss, best)
            validated[better] = np.asarray(outputs)[better]
            if tested.size and not keep_best:
                found = _predict_all(
                    state.parameters, features, tested, fixed.mean, fixed.deviation
                )
                predicted[better] = np.asarray(found)[better]
        bar.update(len(group))
        after_epoch()
    elsewhere = []
    if keep_best:
        if tested.size:
            found = _predict_all(state.best, features, tested, fixed.mean, fixed.deviation)
            predicted = np.asarray(found)
        for other in others:
            rows, _ = _padded([np.arange(len(other))] * len(of))
            found = _predict_all(state.best, other, rows, fixed.mean, fixed.deviation)
            elsewhere.append(np.asarray(found)[:, : len(other)])
    trained = []
    for m, (s, rate) in enumerate(group):
        line = (1.0, 0.0)
        if LOSSES[settings.loss].scale_free:
            part = parts[s].validation
            line = line_onto(validated[m, : len(part)], targets[s, part])
        slope, offset = line
        trained.append(
            Trained(
                rate,
                float(best[m]),
                predicted[m, : len(parts[s].test)] * slope + offset,
                [found[m] * slope + offset for found in elsewhere],
                on_line({n: np.asarray(a[m]) for n, a in state.best.items()}, line)
                if keep
                else None,
            )
        )
    return trained


def _padded(parts: Sequence[np.ndarray]) -> tuple[Int[Array, "m c r"], Float[Array, "m p"]]:
    """Row numbers in chunks of up to ROWS_AT_ONCE, and which are there; the others are row 0."""
    longest = max(map(len, parts))
    chunks = -(-longest // ROWS_AT_ONCE)
    size = -(-longest // max(1, chunks))
    rows = np.zeros((len(parts), chunks * size), np.int32)
    inside = np.zeros(rows.shape, np.float32)
    for m, part in enumerate(parts):
        rows[m, : len(part)], inside[m, : len(part)] = part, 1
    return jnp.asarray(rows.reshape(len(parts), chunks, size)), jnp.asarray(inside)


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class _Fixed:
    """What stays the same for a group; the first axis is the members'."""

    mean: Float[Array, "m f"]
    deviation: Float[Array, "m f"]
    targets: Float[Array, "m n"]
    weights: Float[Array, "m n"]
    rate: Float[Array, " m"]
    validation: Int[Array, "m c r"]
    inside: Float[Array, "m p"]


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class _State:
    """What an epoch changes; the first axis is the members'."""

    parameters: Parameters
    adam: optax.OptState
    key: Array
    best: Parameters
    """The parameters with the smallest validation loss; empty where they are not kept."""
    loss: Float[Array, " m"]
    """The smallest validation loss."""


_ADAM = optax.scale_by_adam()


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _begin(
    keys: Array, features: int, units: tuple[int, int, int], batch_norm: bool, keep_best: bool
) -> _State:
    def member(key):
        first, dropout = jax.random.split(key)
        parameters = initial_parameters(first, features, units, batch_norm)
        best = parameters if keep_best else {}
        adam = _ADAM.init(learned_parameters(parameters))
        return _State(parameters, adam, dropout, best, jnp.float32(jnp.inf))

    return jax.vmap(member)(keys)


@partial(jax.jit, donate_argnums=0, static_argnums=(6, 7, 8))
def _epoch(
    state: _State,
    fixed: _Fixed,
    features: Float[Array, "n f"],
    order: Int[Array, "m b r"],
    batches: Int[Array, " m"],
    epoch: int,
    loss: Loss,
    momentum: float,
    uneven: bool,
) -> tuple[_State, Float[Array, " m"], Float[Array, "m p"]]:
    """One pass and its validation: the new state, validation losses and validation outputs."""
    function = LOSSES[loss].function

    def member(state: _State, fixed: _Fixed, order, batches):
        epoch_key = jax.random.fold_in(state.key, epoch)

        def step(carry, batch):
            parameters, adam = carry
            number, rows = batch
            x = (features[rows].astype(jnp.float32) - fixed.mean) / fixed.deviation
            y, weights = fixed.targets[rows], fixed.weights[rows]
            key = jax.random.fold_in(epoch_key, number)

            def batch_loss(learned):
                outputs, statistics = network(parameters | learned, x, key, momentum)
                return function(outputs[:, None], y[:, None], weights), statistics

            learned = learned_parameters(parameters)
            gradient, statistics = jax.grad(batch_loss, has_aux=True)(learned)
            updates, changed = _ADAM.update(gradient, adam)
            learned = jax.tree.map(lambda p, u: p - fixed.rate * u, learned, updates)
            after = parameters | learned | statistics, changed
            if uneven:  # members with fewer batches than others of the group wait for them
                after = _where(number < batches, after, (parameters, adam))
            return after, None

        numbers = jnp.arange(len(order))
        (parameters, adam), _ = jax.lax.scan(step, (state.parameters, state.adam), (numbers, order))
        outputs = _predict(parameters, features, fixed.validation, fixed.mean, fixed.deviation)
        known = fixed.targets[fixed.validation.reshape(-1)]
        # Rows that only fill the last chunk weigh nothing, so that sums are over the others.
        share = fixed.inside * (len(fixed.inside) / fixed.inside.sum())
        validation_loss = function(outputs[:, None], known[:, None], share)
        best = state.best
        if best:
            best = _where(validation_loss < state.loss, parameters, best)
        smallest = jnp.fmin(validation_loss, state.loss)
        return _State(parameters, adam, state.key, best, smallest), validation_loss, outputs

    return jax.vmap(member)(state, fixed, order, batches)


def _where(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _predict(parameters, features, rows, mean, deviation) -> Float[Array, " p"]:
    """Outputs for rows in chunks, one chunk after the other."""

    def chunk(rows):
        x = (features[rows].astype(jnp.float32) - mean) / deviation
        return network(parameters, x)[0]

    return jax.lax.map(chunk, rows).reshape(-1)


_predict_all = jax.jit(jax.vmap(_predict, in_axes=(0, None, 0, 0, 0)))
