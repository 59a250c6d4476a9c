"""One epoch of a group of networks, as one compiled program: Adam's steps, then validation.

DeepFL-IQA, arXiv:2001.08113, section IV-D: mean squared error, Adam.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from mlsp.regression.network_groups import GroupData
from mlsp.regression.regressor_network import (
    Parameters,
    initial_parameters,
    learned_parameters,
    network,
)
from mlsp.regression.settings import Loss
from mtl.training.opinions.losses import LOSSES

_ADAM = optax.scale_by_adam()


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class GroupState:
    """What an epoch changes; the first axis is the members'."""

    parameters: Parameters
    adam: optax.OptState
    key: Array
    best: Parameters
    """The parameters with the smallest validation loss; empty where they are not kept."""
    loss: Float[Array, " m"]
    """The smallest validation loss."""


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class Batches:
    """The training rows of an epoch; the first axis is the members'."""

    rows: Int[Array | np.ndarray, "m b r"]
    """Of each batch, in order."""
    number: Int[Array | np.ndarray, " m"]
    """How many of its batches a member trains on; the others only fill the array."""


@dataclass(frozen=True)
class EpochRules:
    """State what an epoch is compiled for."""

    loss: Loss
    momentum: float
    """Of batch normalisation's running statistics."""
    uneven: bool
    """Members have different numbers of batches; those with fewer wait for the others."""


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def begin(
    keys: Array, features: int, units: tuple[int, int, int], batch_norm: bool, keep_best: bool
) -> GroupState:
    """Draw the initial weights of a group, one member per key."""

    def member(key):
        first, dropout = jax.random.split(key)
        parameters = initial_parameters(first, features, units, batch_norm)
        best = parameters if keep_best else {}
        adam = _ADAM.init(learned_parameters(parameters))
        return GroupState(parameters, adam, dropout, best, jnp.float32(jnp.inf))

    return jax.vmap(member)(keys)


@partial(jax.jit, donate_argnums=0, static_argnums=5)
def train_epoch(
    state: GroupState,
    data: GroupData,
    features: Float[Array, "n f"],
    batches: Batches,
    epoch: int,
    rules: EpochRules,
) -> tuple[GroupState, Float[Array, " m"], Float[Array, "m p"]]:
    """Train for one epoch and validate: the new state, validation losses and validation outputs.

    Args:
        state: of the group; its memory is used again.
        data: of the group.
        features: of all pictures.
        batches: rows to train on.
        epoch: its number, which decides the dropout.
        rules: of the training.
    """
    function = LOSSES[rules.loss].function

    def member(state: GroupState, data: GroupData, batches: Batches):
        epoch_key = jax.random.fold_in(state.key, epoch)

        def step(carry, batch):
            parameters, adam = carry
            number, rows = batch
            x = (features[rows].astype(jnp.float32) - data.mean) / data.deviation
            y, weights = data.targets[rows], data.weights[rows]
            key = jax.random.fold_in(epoch_key, number)

            def batch_loss(learned):
                outputs, statistics = network(parameters | learned, x, key, rules.momentum)
                return function(outputs[:, None], y[:, None], weights), statistics

            learned = learned_parameters(parameters)
            gradient, statistics = jax.grad(batch_loss, has_aux=True)(learned)
            updates, changed = _ADAM.update(gradient, adam)
            learned = jax.tree.map(lambda p, u: p - data.rate * u, learned, updates)
            after = parameters | learned | statistics, changed
            if rules.uneven:
                after = _where(number < batches.number, after, (parameters, adam))
            return after, None

        every = (jnp.arange(len(batches.rows)), batches.rows)
        (parameters, adam), _ = jax.lax.scan(step, (state.parameters, state.adam), every)
        outputs = _predict(parameters, features, data.validation, data.mean, data.deviation)
        known = data.targets[data.validation.reshape(-1)]
        # Rows that only fill the last chunk weigh nothing, so that sums are over the others.
        share = data.inside * (len(data.inside) / data.inside.sum())
        validation_loss = function(outputs[:, None], known[:, None], share)
        best = state.best
        if best:
            best = _where(validation_loss < state.loss, parameters, best)
        smallest = jnp.fmin(validation_loss, state.loss)
        after = GroupState(parameters, adam, state.key, best, smallest)
        return after, validation_loss, outputs

    return jax.vmap(member)(state, data, batches)


def predict_all(
    parameters: Parameters,
    features: Float[Array, "n f"],
    rows: Int[Array, "m c r"],
    data: GroupData,
) -> Float[Array, "m p"]:
    """Return the outputs of all members for rows in chunks, each member's own."""
    return _predict_members(parameters, features, rows, data.mean, data.deviation)


def _where(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _predict(parameters, features, rows, mean, deviation) -> Float[Array, " p"]:
    """Return the outputs for rows in chunks, one chunk after the other."""

    def chunk(rows):
        x = (features[rows].astype(jnp.float32) - mean) / deviation
        return network(parameters, x)[0]

    return jax.lax.map(chunk, rows).reshape(-1)


_predict_members = jax.jit(jax.vmap(_predict, in_axes=(0, None, 0, 0, 0)))
