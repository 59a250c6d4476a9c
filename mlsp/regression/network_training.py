"""Training of the paper's network: all repetitions and learning rates of a benchmark at once.

DeepFL-IQA, arXiv:2001.08113, sections IV-D and V-B: mean squared error, Adam with the learning rate
of 1e-1 ... 1e-5 that validates best, 30 epochs, the epoch with the smallest validation loss kept.
Networks train in groups, see mlsp.regression.network_groups.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mlsp.regression.examples import Repetition
from mlsp.regression.network_epoch import (
    Batches,
    EpochRules,
    GroupState,
    begin,
    predict_all,
    train_epoch,
)
from mlsp.regression.network_groups import GroupData, Member, group_data, grouped_members, padded
from mlsp.regression.regressor_network import on_line
from mlsp.regression.settings import DEFAULT_EXECUTION, Execution, MLPSettings
from mtl.runtime.files import InputError
from mtl.runtime.progress import progress_bar
from mtl.training.opinions.losses import LOSSES, line_onto


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


@dataclass(frozen=True)
class _Work:
    """Hold what the groups of one training share."""

    settings: MLPSettings
    features: Float[Array, "n f"]
    repetitions: Sequence[Repetition]
    others: Sequence[Float[Array, "m f"]]
    keep: bool

    @property
    def keeps_best(self) -> bool:
        """Parameters are needed after the last epoch."""
        return self.keep or bool(self.others)


def train_networks(
    settings: MLPSettings,
    features: Float[Array, "n f"],
    repetitions: Sequence[Repetition],
    *,
    others: Sequence[Float[Array, "m f"]] = (),
    keep: bool = False,
    execution: Execution = DEFAULT_EXECUTION,
) -> list[Trained]:
    """Train a network per repetition and learning rate, in groups as large as the memory allows.

    Args:
        settings: of the training.
        features: on the device, float32 or float16.
        repetitions: splits of the pictures, and what each is trained with.
        others: features of other databases.
        keep: give back the parameters.
        execution: memory, and what is called after each epoch of each group.

    Raises:
        InputError: the loss of a split is finite with no learning rate.
    """
    work = _Work(settings, features, repetitions, others, keep)
    best: list[Trained | None] = [None] * len(repetitions)
    splits = [each.split for each in repetitions]
    groups = grouped_members(settings, features.shape[1], splits, work.keeps_best, execution.memory)
    total = len(repetitions) * len(settings.learning_rates) * settings.epochs
    with progress_bar(total, settings.kind, "epoch", show=execution.progress) as bar:

        def after_epoch(members: int) -> None:
            bar.update(members)
            if execution.after_epoch is not None:
                execution.after_epoch()

        for group in groups:
            trained = _train_group(work, group, after_epoch)
            for member, found in zip(group, trained, strict=True):
                known = best[member.number]
                # A diverged member's loss is never finite and never smaller.
                if found.loss < (np.inf if known is None else known.loss):
                    best[member.number] = found
    if any(found is None for found in best):
        raise InputError(
            "the network diverged with every learning rate; are the scores or features finite?"
        )
    return [found for found in best if found is not None]


def _train_group(
    work: _Work, group: Sequence[Member], after_epoch: Callable[[int], None]
) -> list[Trained]:
    settings, features = work.settings, work.features
    of = [work.repetitions[member.number] for member in group]
    data = group_data(of, [member.rate for member in group])
    tested, _ = padded([each.split.test for each in of])
    keys = jnp.stack([jax.random.key(each.seed) for each in of])
    state = begin(keys, features.shape[1], settings.units, settings.batch_norm, work.keeps_best)

    best = np.full(len(group), np.inf)
    predicted = np.zeros((len(group), tested.shape[1] * tested.shape[2]), np.float32)
    validated = np.zeros((len(group), data.inside.shape[1]), np.float32)
    for epoch, batches in enumerate(_batches(work, group)):
        rules = EpochRules(settings.loss, settings.momentum, bool(np.ptp(batches.number)))
        state, loss, outputs = train_epoch(state, data, features, batches, epoch, rules)
        better = np.asarray(loss) < best
        if better.any():
            best = np.where(better, loss, best)
            validated[better] = np.asarray(outputs)[better]
            if tested.size and not work.keeps_best:
                found = predict_all(state.parameters, features, tested, data)
                predicted[better] = np.asarray(found)[better]
        after_epoch(len(group))
    if tested.size and work.keeps_best:
        predicted = np.asarray(predict_all(state.best, features, tested, data))
    elsewhere = [_elsewhere(other, state, data) for other in work.others]
    trained = []
    for m, (member, each) in enumerate(zip(group, of, strict=True)):
        line = (1.0, 0.0)
        if LOSSES[settings.loss].scale_free:
            part = each.split.validation
            line = line_onto(validated[m, : len(part)], each.targets[part])
        slope, offset = line
        trained.append(
            Trained(
                member.rate,
                float(best[m]),
                predicted[m, : len(each.split.test)] * slope + offset,
                [found[m] * slope + offset for found in elsewhere],
                on_line({n: np.asarray(a[m]) for n, a in state.best.items()}, line)
                if work.keep
                else None,
            )
        )
    return trained


def _batches(work: _Work, group: Sequence[Member]) -> Iterator[Batches]:
    """Yield each epoch's batches; every learning rate of a repetition sees the same ones."""
    parts = {member.number: work.repetitions[member.number].split.train for member in group}
    # All members of a group have the same batch size.
    size = min(work.settings.batch_size, len(parts[group[0].number]))
    draws = {s: np.random.default_rng([work.repetitions[s].seed, 1]) for s in sorted(parts)}
    number = np.array([len(parts[member.number]) // size for member in group])
    for _ in range(work.settings.epochs):
        drawn = {s: part[draws[s].permutation(len(part))] for s, part in parts.items()}
        rows = np.zeros((len(group), number.max(), size), np.int32)
        for m, member in enumerate(group):
            used = drawn[member.number][: number[m] * size]
            rows[m, : number[m]] = used.reshape(-1, size)
        yield Batches(rows, number)


def _elsewhere(
    other: Float[Array, "n f"], state: GroupState, data: GroupData
) -> Float[np.ndarray, "m n"]:
    """Return the outputs of all members for all pictures of another database."""
    rows, _ = padded([np.arange(len(other))] * len(data.rate))
    return np.asarray(predict_all(state.best, other, rows, data))[:, : len(other)]
