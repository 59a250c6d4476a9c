"""Fit regressors to rated examples: one for use, or one per split, which is tested.

DeepFL-IQA, arXiv:2001.08113, sections IV-D, V-B and V-D1; mlsp.regression.regressor_network and
mlsp.regression.support_vectors say what each kind is.

Features and scores are standardised with the training part's mean and deviation, which the paper
does not mention: bodies trained for different lengths have features of very different scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mlsp.regression.examples import (
    Examples,
    PlacedExamples,
    Repetition,
    Weighting,
    check_parts,
    on_device,
    placed,
    repetition_of,
)
from mlsp.regression.network_training import train_networks
from mlsp.regression.regressor import Regressor
from mlsp.regression.settings import (
    DEFAULT_EXECUTION,
    Execution,
    MLPSettings,
    Settings,
    SVRSettings,
)
from mlsp.regression.support_vectors import Machine, fit_machine, kernel_matrix, machine_arrays
from mtl.evaluation.splits import Split
from mtl.runtime.progress import progress_bar


@dataclass(frozen=True)
class Outcome:
    """A regressor's choice and its predictions, of one repetition."""

    chosen: float
    """Learning rate or C that validated best."""
    validation_loss: float
    """The network's loss, or the mean squared error, in deviations of the training scores."""
    predicted: Float[np.ndarray, " t"]
    """Scores of the test part, in the order of its rows, on the users' scale."""
    others: list[Float[np.ndarray, " m"]]
    """Scores of the other databases, on the same scale."""


def fit(
    settings: Settings,
    train: Examples,
    validation: Examples,
    *,
    seed: int,
    weighting: Weighting | None = None,
    execution: Execution = DEFAULT_EXECUTION,
) -> Regressor:
    """Fit one regressor, choosing learning rate and epoch, or C, by the validation part.

    Args:
        settings: MLPSettings or SVRSettings.
        train: examples to learn from.
        validation: examples of other references.
        seed: of initial weights, order and dropout; the SVR needs none.
        weighting: weights of the training pictures from their scores.
        execution: memory for the learning rates that train together, and progress.

    Raises:
        InputError: features or scores are not finite, or the network diverged.
        ValueError: there is no training or no validation picture.
    """
    examples = placed(
        Examples(
            np.concatenate([train.features, validation.features]),
            np.concatenate([train.scores, validation.scores]),
        )
    )
    rows = np.arange(len(examples.scores))
    n = len(train.scores)
    split = Split(rows[:n], rows[n:], rows[:0])
    check_parts(split, 0)
    repetition = repetition_of(examples, split, seed=seed, weighting=weighting)
    standard = repetition.standard
    if isinstance(settings, MLPSettings):
        (found,) = train_networks(
            settings, examples.features, [repetition], keep=True, execution=execution
        )
        assert found.parameters is not None  # they were asked for
        return Regressor(settings.kind, standard, found.parameters, found.rate, found.loss)
    kernel = _kernel(settings, examples.features, examples, repetition)
    machine = _machine(settings, kernel, repetition)
    vectors = standard.features(np.asarray(train.features)[machine.support])
    arrays = machine_arrays(settings.kernel, machine, vectors)
    return Regressor(settings.kind, standard, arrays, machine.cost, machine.loss)


def train_and_test(
    settings: Settings,
    examples: Examples,
    splits: Sequence[Split],
    *,
    others: Sequence[Float[np.ndarray, "m f"]] = (),
    seed: int = 0,
    weighting: Weighting | None = None,
    execution: Execution = DEFAULT_EXECUTION,
) -> list[Outcome]:
    """Fit a regressor for each split and test it, on one copy of the features.

    Networks of all splits and learning rates train together. Split k comes out as `fit` with the
    seed `seed + k` and `Regressor.predict` do it, up to rounding, however they are grouped.

    Args:
        settings: MLPSettings or SVRSettings.
        examples: pictures of all parts.
        splits: row numbers.
        others: features of other databases, all of whose pictures are predicted for each split.
        seed: of the first split.
        weighting: weights of a training part's pictures from their scores, such as
            mtl.training.opinions.balancing.proportion_weights; validation and test have none.
        execution: memory for the networks that train together, and progress.

    Raises:
        InputError: features or scores are not finite, or all networks of a split diverged.
        ValueError: features of different lengths, or a split without training or validation
            pictures, which could choose nothing.
    """
    for number, split in enumerate(splits):
        check_parts(split, number)
    length = examples.features.shape[1]
    if any(other.shape[1] != length for other in others):
        shapes = [other.shape for other in others]
        raise ValueError(f"{length} features and those of {shapes} do not go together")
    here = placed(examples)
    elsewhere = [on_device(other) for other in others]
    repetitions = [
        repetition_of(here, split, seed=seed + k, weighting=weighting)
        for k, split in enumerate(splits)
    ]
    if isinstance(settings, MLPSettings):
        found = train_networks(
            settings, here.features, repetitions, others=elsewhere, execution=execution
        )
        backs = [each.standard.back for each in repetitions]
        return [
            Outcome(f.rate, f.loss, back(f.predicted), [back(other) for other in f.others])
            for f, back in zip(found, backs, strict=True)
        ]
    outcomes = []
    with progress_bar(len(splits), settings.kind, "split", show=execution.progress) as bar:
        for each in repetitions:
            outcomes.append(_tested_machine(settings, here, each, elsewhere))
            bar.update()
    return outcomes


def _tested_machine(
    settings: SVRSettings,
    examples: PlacedExamples,
    repetition: Repetition,
    others: Sequence[Float[Array, "m f"]],
) -> Outcome:
    """Fit support vectors for one split, and test them."""
    back = repetition.standard.back
    kernel = _kernel(settings, examples.features, examples, repetition)
    machine = _machine(settings, kernel, repetition)
    beyond = [
        back(machine.predict(_kernel(settings, other, examples, repetition))) for other in others
    ]
    predicted = back(machine.predict(kernel[repetition.split.test]))
    return Outcome(machine.cost, machine.loss, predicted, beyond)


def _kernel(
    settings: SVRSettings,
    features: Float[Array, "n f"],
    training: PlacedExamples,
    repetition: Repetition,
) -> Float[np.ndarray, "n t"]:
    """Return the kernel between pictures and the training part of a split."""
    standard = repetition.standard
    mean, deviation = (jnp.asarray(a) for a in (standard.feature_mean, standard.feature_deviation))
    rows = repetition.split.train
    return kernel_matrix(settings.kernel, features, training.features, rows, mean, deviation)


def _machine(
    settings: SVRSettings, kernel: Float[np.ndarray, "n t"], repetition: Repetition
) -> Machine:
    """Fit support vectors to a split, from the kernel of all pictures with its training part."""
    split, targets = repetition.split, repetition.targets
    return fit_machine(
        settings,
        kernel[split.train],
        targets[split.train],
        kernel[split.validation],
        targets[split.validation],
        repetition.weights,
    )
