"""Shallow regressors from features to human scores: networks, and support vectors.

DeepFL-IQA, arXiv:2001.08113, sections IV-D, V-B and V-D1; mlsp.regression.regressor_network and
mlsp.regression.support_vectors say what each kind is.

Features and scores are standardised with the training part's mean and deviation, which the paper
does not mention: bodies trained for different lengths have features of very different scale.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mlsp.regression.regressor_network import network
from mlsp.regression.regressor_training import MLPSettings, Trained, train_networks
from mlsp.regression.standardisation import Standard
from mlsp.regression.support_vectors import (
    SVRSettings,
    fit_machine,
    kernel_matrix,
    machine_arrays,
    support_vector_scores,
)
from mtl.evaluation.splits import Split
from mtl.runtime.files import InputError, read_arrays, write_arrays
from mtl.runtime.progress import progress_bar

__all__ = [
    "KINDS",
    "Kind",
    "MLPSettings",
    "Outcome",
    "Regressor",
    "SVRSettings",
    "Settings",
    "Standard",
    "Weighting",
    "fit",
    "load_regressor",
    "save_regressor",
    "settings_of",
    "train_and_test",
]

Kind = Literal["mlp", "mlp-bn", "svr", "svr-linear"]
KINDS: tuple[Kind, ...] = ("mlp", "mlp-bn", "svr", "svr-linear")

Settings = MLPSettings | SVRSettings

# Weights of a training part's pictures from their scores:
# mtl.training.opinions.balancing.proportion_weights.
Weighting = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]


def settings_of(kind: Kind) -> Settings:
    """The settings of a kind, all others at their defaults."""
    every: Mapping[Kind, Settings] = {
        "mlp": MLPSettings(),
        "mlp-bn": MLPSettings(batch_norm=True),
        "svr": SVRSettings(),
        "svr-linear": SVRSettings(kernel="linear"),
    }
    return every[kind]


@dataclass(frozen=True)
class Outcome:
    """What came of one repetition."""

    chosen: float
    """Learning rate or C that validated best."""
    validation_loss: float
    """The network's loss, or the mean squared error, in deviations of the training scores."""
    predicted: Float[np.ndarray, " t"]
    """Scores of the test part, in the order of its rows, on the users' scale."""
    others: list[Float[np.ndarray, " m"]]
    """Scores of the other databases, on the same scale."""


@dataclass(frozen=True)
class Regressor:
    """A fitted regressor."""

    kind: Kind
    standard: Standard
    arrays: Mapping[str, np.ndarray]
    """As `regressor_network.network` or `support_vectors.machine_arrays` names them."""
    chosen: float
    """Learning rate or C that validated best."""
    validation_loss: float
    """The network's loss, or the mean squared error, in deviations of the training scores."""

    def predict(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, " n"]:
        """Scores on the scale of those it was fitted to.

        Raises:
            ValueError: the features have another length.
        """
        if features.ndim != 2 or features.shape[1] != len(self.standard.feature_mean):
            raise ValueError(
                f"features must have shape (n, {len(self.standard.feature_mean)}), got"
                f" {features.shape}"
            )
        x = self.standard.features(features)
        if self.kind in ("mlp", "mlp-bn"):
            y = np.asarray(_outputs({n: jnp.asarray(a) for n, a in self.arrays.items()}, x))
        else:
            y = support_vector_scores("rbf" if self.kind == "svr" else "linear", self.arrays, x)
        return self.standard.back(y)


def fit(
    settings: Settings,
    train: tuple[Float[np.ndarray, "n f"], Float[np.ndarray, " n"]],
    validation: tuple[Float[np.ndarray, "m f"], Float[np.ndarray, " m"]],
    *,
    seed: int,
    weighting: Weighting | None = None,
    memory: int | None = None,
    progress: bool = False,
) -> Regressor:
    """Fit one regressor, choosing learning rate and epoch, or C, by the validation part.

    Args:
        settings: MLPSettings or SVRSettings.
        train: features and scores.
        validation: features and scores of other references.
        seed: of initial weights, order and dropout; the SVR needs none.
        weighting: weights of the training pictures from their scores.
        memory: bytes for the learning rates that train together, see `train_and_test`.
        progress: report on standard error.

    Raises:
        InputError: features or scores are not finite, or the network diverged.
        ValueError: there is no training or no validation picture.
    """
    features = _on_device(np.concatenate([train[0], validation[0]]))
    scores = np.concatenate([train[1], validation[1]]).astype(np.float64)
    _check(features, scores)
    n = len(train[0])
    none = np.arange(0)
    split = Split(np.arange(n), np.arange(n, len(features)), none)
    _check_parts(split, 0)
    standard = Standard.of(features, scores, split.train)
    if isinstance(settings, MLPSettings):
        (found,) = _trained(
            settings,
            features,
            scores,
            [split],
            [standard],
            weighting,
            seeds=[seed],
            keep=True,
            memory=memory,
            progress=progress,
        )
        assert found.parameters is not None  # they were asked for
        return Regressor(settings.kind, standard, found.parameters, found.rate, found.loss)
    kernel = _kernel(settings, features, features, split, standard)
    machine = _machine(settings, kernel, scores, split, standard, weighting)
    vectors = standard.features(np.asarray(train[0])[machine.support])
    arrays = machine_arrays(settings.kernel, machine, vectors)
    return Regressor(settings.kind, standard, arrays, machine.cost, machine.loss)


def train_and_test(
    settings: Settings,
    features: Float[np.ndarray, "n f"],
    scores: Float[np.ndarray, " n"],
    splits: Sequence[Split],
    *,
    others: Sequence[Float[np.ndarray, "m f"]] = (),
    seed: int = 0,
    weighting: Weighting | None = None,
    memory: int | None = None,
    after_epoch: Callable[[], None] | None = None,
    progress: bool = False,
) -> list[Outcome]:
    """Fit a regressor for each split and test it, on one copy of the features.

    Networks of all splits and learning rates train together. Split k comes out as `fit` with the
    seed `seed + k` and `Regressor.predict` do it, up to rounding, however they are grouped.

    Args:
        settings: MLPSettings or SVRSettings.
        features: float16 or float32, which they stay on the device; one row per picture.
        scores: on any scale.
        splits: row numbers.
        others: features of other databases, all of whose pictures are predicted for each split.
        seed: of the first split.
        weighting: weights of a training part's pictures from their scores, such as
            mtl.training.opinions.balancing.proportion_weights; validation and test have none.
        memory: bytes for the networks that train together; most of what the device has left where
            not given. At least one trains, whatever it takes.
        after_epoch: called after each epoch of each group of networks, which time themselves by it.
        progress: report on standard error.

    Raises:
        InputError: features or scores are not finite, or all networks of a split diverged.
        ValueError: another number of scores than features, features of different lengths, or a
            split without training or validation pictures, which could choose nothing.
    """
    for number, split in enumerate(splits):
        _check_parts(split, number)
    scores = np.asarray(scores, np.float64)
    if len(scores) != len(features) or any(o.shape[1] != features.shape[1] for o in others):
        shapes = [f.shape for f in (features, *others)]
        raise ValueError(f"{len(scores)} scores and features of {shapes} do not go together")
    here = _on_device(features)
    _check(here, scores)
    elsewhere = [_on_device(other) for other in others]
    standards = [Standard.of(here, scores, split.train) for split in splits]
    if isinstance(settings, MLPSettings):
        found = _trained(
            settings,
            here,
            scores,
            splits,
            standards,
            weighting,
            seeds=[seed + k for k in range(len(splits))],
            others=elsewhere,
            memory=memory,
            after_epoch=after_epoch,
            progress=progress,
        )
        return [
            Outcome(f.rate, f.loss, s.back(f.predicted), [s.back(other) for other in f.others])
            for f, s in zip(found, standards, strict=True)
        ]
    outcomes = []
    with progress_bar(len(splits), settings.kind, "split", show=progress) as bar:
        for split, standard in zip(splits, standards, strict=True):
            kernel = _kernel(settings, here, here, split, standard)
            machine = _machine(settings, kernel, scores, split, standard, weighting)
            predicted = standard.back(machine.predict(kernel[split.test]))
            beyond = [
                standard.back(machine.predict(_kernel(settings, other, here, split, standard)))
                for other in elsewhere
            ]
            outcomes.append(Outcome(machine.cost, machine.loss, predicted, beyond))
            bar.update()
    return outcomes


def save_regressor(path: Path, regressor: Regressor) -> None:
    """Write a regressor as one .npz file of plain arrays."""
    s = regressor.standard
    write_arrays(
        path,
        {
            "kind": np.array(regressor.kind),
            "feature_mean": s.feature_mean,
            "feature_deviation": s.feature_deviation,
            "score": np.array([s.score_mean, s.score_deviation]),
            "chosen": np.array([regressor.chosen, regressor.validation_loss]),
            **{f"arrays/{name}": array for name, array in regressor.arrays.items()},
        },
    )


def load_regressor(path: Path) -> Regressor:
    """Read what `save_regressor` wrote.

    Raises:
        InputError: the file is missing or is not a regressor.
    """
    stored = read_arrays(path)
    try:
        kind = str(stored["kind"])
        chosen, loss = stored["chosen"].tolist()
        standard = Standard(
            stored["feature_mean"], stored["feature_deviation"], *stored["score"].tolist()
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: is not a regressor ({error})") from error
    arrays = {
        name.removeprefix("arrays/"): array
        for name, array in stored.items()
        if name.startswith("arrays/")
    }
    if kind not in KINDS:
        raise InputError(f"{path}: holds a regressor of unknown kind {kind!r}")
    return Regressor(kind, standard, arrays, chosen, loss)


@jax.jit
def _outputs(parameters: dict[str, Array], x: Float[Array, "n f"]) -> Float[Array, " n"]:
    return network(parameters, x)[0]


def _on_device(features: Float[np.ndarray, "n f"]) -> Float[Array, "n f"]:
    half = features.dtype == np.float16
    return jax.device_put(np.asarray(features, np.float16 if half else np.float32))


@jax.jit
def _finite(features: Float[Array, "n f"]) -> Array:
    return jnp.isfinite(features).all()


def _check(features: Array, scores: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        raise InputError("some scores are not finite numbers")
    if not bool(_finite(features)):
        raise InputError("some features are not finite numbers; extract them again")


def _check_parts(split: Split, number: int) -> None:
    for part, rows in (("training", split.train), ("validation", split.validation)):
        if not len(rows):
            raise ValueError(f"split {number} has no {part} pictures")


def _trained(
    settings: MLPSettings,
    features: Array,
    scores: np.ndarray,
    splits: Sequence[Split],
    standards: Sequence[Standard],
    weighting: Weighting | None,
    **options: Any,
) -> list[Trained]:
    weights = None
    if weighting is not None:
        weights = np.ones((len(splits), len(scores)), np.float32)
        for row, split in zip(weights, splits, strict=True):
            row[split.train] = weighting(scores[split.train])
    return train_networks(
        settings,
        features,
        np.stack([standard.scores(scores) for standard in standards]),
        splits,
        np.stack([standard.feature_mean for standard in standards]),
        np.stack([standard.feature_deviation for standard in standards]),
        weights=weights,
        **options,
    )


def _kernel(settings, features, training, split: Split, standard: Standard) -> np.ndarray:
    mean, deviation = (jnp.asarray(a) for a in (standard.feature_mean, standard.feature_deviation))
    return kernel_matrix(settings.kernel, features, training, split.train, mean, deviation)


def _machine(settings, kernel, scores, split: Split, standard: Standard, weighting):
    targets = standard.scores(scores)
    weights = None if weighting is None else weighting(scores[split.train])
    return fit_machine(
        settings,
        kernel[split.train],
        targets[split.train],
        kernel[split.validation],
        targets[split.validation],
        weights,
    )
