"""Groups of networks that train as one compiled program: who is in one, and its data.

A member is one network: a repetition with one learning rate. Members are a leading axis of all
arrays (vmap); there is one copy of the features, from which each member gathers its rows and
standardises them with the statistics of its own training part. A member's numbers depend on its
repetition's seed and split and on its learning rate, not on the members beside it, but for the
rounding of float32 (of TF32 in the matrix products of a GPU that has it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mlsp.regression.examples import Repetition
from mlsp.regression.settings import MLPSettings
from mtl.evaluation.splits import Split
from mtl.runtime.memory import free_memory

# Rows a network is given at once where it only predicts.
ROWS_AT_ONCE = 256

# Of the free memory: of a device that is for this alone, and of a machine that others use, too.
DEVICE_SHARE, MACHINE_SHARE = 0.9, 0.5
LITTLE = 2**31  # bytes, where nothing is known


class Member(NamedTuple):
    """One network of a benchmark."""

    number: int
    """Of its repetition."""
    rate: float
    """Learning rate."""


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class GroupData:
    """Hold what stays the same while a group trains; the first axis is the members'."""

    mean: Float[Array, "m f"]
    deviation: Float[Array, "m f"]
    targets: Float[Array, "m n"]
    weights: Float[Array, "m n"]
    rate: Float[Array, " m"]
    validation: Int[Array, "m c r"]
    """Rows of the validation parts, in chunks, see `padded`."""
    inside: Float[Array, "m p"]
    """1 for a row of the validation part, 0 for one that only fills its last chunk."""


def member_bytes(settings: MLPSettings, features: int, *, keep: bool) -> int:
    """Return the memory that training one member takes, features not counted.

    Parameters, two moments of Adam, the gradient, and the best parameters if they are kept; and
    the rows of a batch: gathered, standardised, and multiplied.
    """
    weights = sum(a * b + b for a, b in pairwise((features, *settings.units, 1)))
    rows = max(settings.batch_size, ROWS_AT_ONCE) * (2 * features + 3 * sum(settings.units))
    return 4 * (weights * (4 + keep) + rows)


def available_bytes() -> int:
    """Return the memory that members may take: most of a device's, or half of a machine's.

    A machine's is not all taken, since others use it, too.
    """
    free = free_memory()
    if free is None:
        return LITTLE
    return int((MACHINE_SHARE if jax.default_backend() == "cpu" else DEVICE_SHARE) * free)


def grouped_members(
    settings: MLPSettings, features: int, splits: Sequence[Split], keep: bool, memory: int | None
) -> list[list[Member]]:
    """Return all members, in groups of about the same size and of one batch size each.

    Args:
        settings: of the training.
        features: numbers per picture.
        splits: of the repetitions.
        keep: the best parameters are kept.
        memory: bytes for a group; `available_bytes` where not given.
    """
    memory = available_bytes() if memory is None else memory
    at_once = max(1, memory // member_bytes(settings, features, keep=keep))
    by_batch: dict[int, list[Member]] = {}
    for number, split in enumerate(splits):
        members = by_batch.setdefault(min(settings.batch_size, len(split.train)), [])
        members += [Member(number, rate) for rate in settings.learning_rates]
    groups = []
    for members in by_batch.values():
        bounds = np.linspace(0, len(members), -(-len(members) // at_once) + 1).astype(int)
        groups += [members[a:b] for a, b in pairwise(bounds)]
    return groups


def group_data(repetitions: Sequence[Repetition], rates: Sequence[float]) -> GroupData:
    """Return the data of a group, put on the device.

    Args:
        repetitions: of each member.
        rates: learning rate of each member.
    """
    weights = np.ones((len(repetitions), len(repetitions[0].targets)), np.float32)
    for row, each in zip(weights, repetitions, strict=True):
        if each.weights is not None:
            row[each.split.train] = each.weights
    return GroupData(
        jnp.asarray(np.stack([each.standard.feature_mean for each in repetitions])),
        jnp.asarray(np.stack([each.standard.feature_deviation for each in repetitions])),
        jnp.asarray(np.stack([each.targets for each in repetitions])),
        jnp.asarray(weights),
        jnp.asarray(rates, jnp.float32),
        *padded([each.split.validation for each in repetitions]),
    )


def padded(parts: Sequence[np.ndarray]) -> tuple[Int[Array, "m c r"], Float[Array, "m p"]]:
    """Return row numbers in chunks of up to ROWS_AT_ONCE, and which are there.

    The others are row 0.
    """
    longest = max(map(len, parts))
    chunks = -(-longest // ROWS_AT_ONCE)
    size = -(-longest // max(1, chunks))
    rows = np.zeros((len(parts), chunks * size), np.int32)
    inside = np.zeros(rows.shape, np.float32)
    for m, part in enumerate(parts):
        rows[m, : len(part)], inside[m, : len(part)] = part, 1
    return jnp.asarray(rows.reshape(len(parts), chunks, size)), jnp.asarray(inside)
