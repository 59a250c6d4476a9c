"""Shallow regressors from features to human scores: the paper's network, and support vectors.

DeepFL-IQA, arXiv:2001.08113, sections IV-D and V-B: FC 2048, 1024 and 256 with ReLU and dropout of
.25, .25 and .5, one linear output, He initialisation, mean squared error, Adam with the learning
rate of 1e-1 ... 1e-5 that validates best, 30 epochs, the epoch with the smallest validation loss
kept; section V-D1: support vector regression with an RBF kernel instead.

Features and scores are standardised with the training part's mean and deviation, which the paper
does not mention: bodies trained for different lengths have features of very different scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from sklearn.svm import SVR

from mtl.files import InputError, read_arrays, write_arrays

UNITS = (2048, 1024, 256)
DROPOUT = (0.25, 0.25, 0.5)

Kind = Literal["mlp", "svr"]
KINDS: tuple[Kind, ...] = ("mlp", "svr")


@dataclass(frozen=True)
class MLPSettings:
    """Training of the paper's network."""

    learning_rates: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    """Tried one after the other; the one that validates best is kept."""
    epochs: int = 30
    batch_size: int = 64


@dataclass(frozen=True)
class SVRSettings:
    """Training of the support vector regression; scores have unit deviation, see the module."""

    costs: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0)
    """Values of C tried; the one that validates best is kept."""
    epsilon: float = 0.1
    """Width of the tube without loss, in deviations of the scores."""


Settings = MLPSettings | SVRSettings


@dataclass(frozen=True)
class Standard:
    """Standardisation by a training part's statistics."""

    feature_mean: Float[np.ndarray, " f"]
    feature_deviation: Float[np.ndarray, " f"]
    score_mean: float
    score_deviation: float

    @classmethod
    def of(cls, features: Float[np.ndarray, "n f"], scores: Float[np.ndarray, " n"]) -> "Standard":
        """Mean and deviation of the features and the scores; a constant one keeps deviation 1."""
        deviation = features.std(axis=0, dtype=np.float64)
        spread = float(np.std(scores))
        return cls(
            features.mean(axis=0, dtype=np.float64).astype(np.float32),
            np.where(deviation > 0, deviation, 1).astype(np.float32),
            float(np.mean(scores)),
            spread if spread > 0 else 1.0,
        )

    def features(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
        """Features with mean 0 and deviation 1 over the training part."""
        return (np.asarray(features, np.float32) - self.feature_mean) / self.feature_deviation

    def scores(self, scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Scores with mean 0 and deviation 1 over the training part."""
        return ((scores - self.score_mean) / self.score_deviation).astype(np.float32)

    def back(self, standardised: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """From standardised scores to the users' scale."""
        return standardised * self.score_deviation + self.score_mean


@dataclass(frozen=True)
class Regressor:
    """A fitted regressor."""

    kind: Kind
    standard: Standard
    arrays: Mapping[str, np.ndarray]
    """mlp: w0 b0 ... w3 b3. svr: vectors, coefficients, intercept, gamma."""
    chosen: float
    """Learning rate or C that validated best."""
    validation_loss: float
    """Mean squared error on the validation part, in squared deviations of the training scores."""

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
        if self.kind == "mlp":
            layers = [(self.arrays[f"w{k}"], self.arrays[f"b{k}"]) for k in range(len(UNITS) + 1)]
            y = np.asarray(_network(layers, jnp.asarray(x)))
        else:
            y = _support_vectors(self.arrays, x)
        return self.standard.back(y.astype(np.float64))


def fit(
    settings: Settings,
    train: tuple[Float[np.ndarray, "n f"], Float[np.ndarray, " n"]],
    validation: tuple[Float[np.ndarray, "m f"], Float[np.ndarray, " m"]],
    *,
    seed: int,
) -> Regressor:
    """Fit one regressor, choosing learning rate and epoch, or C, by the validation part.

    Args:
        settings: MLPSettings or SVRSettings.
        train: features and scores.
        validation: features and scores of other references.
        seed: of initial weights, order and dropout; the SVR needs none.
    """
    standard = Standard.of(*train)
    prepared = [(standard.features(x), standard.scores(y)) for x, y in (train, validation)]
    if isinstance(settings, MLPSettings):
        arrays, chosen, loss = _fit_mlp(settings, *prepared, seed=seed)
        return Regressor("mlp", standard, arrays, chosen, loss)
    arrays, chosen, loss = _fit_svr(settings, *prepared)
    return Regressor("svr", standard, arrays, chosen, loss)


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


Layers = Sequence[tuple[Any, Any]]


def _network(layers: Layers, x: Float[Array, "n f"], key=None) -> Float[Array, " n"]:
    """The network; with a key, dropout is on."""
    for k, (w, b) in enumerate(layers):
        x = x @ w + b
        if k < len(DROPOUT):
            x = jax.nn.relu(x)
            if key is not None:
                kept = jax.random.bernoulli(jax.random.fold_in(key, k), 1 - DROPOUT[k], x.shape)
                x = jnp.where(kept, x / (1 - DROPOUT[k]), 0)
    return x[:, 0]


@partial(jax.jit, donate_argnums=(0, 1), static_argnums=(2,))
def _epoch(layers, state, optimizer, x, y, order, key):
    """One pass: `order` (batches, batch size) indexes the rows; returns the new state."""

    def step(carry, batch):
        layers, state = carry
        rows, key = batch

        def loss(layers):
            return jnp.mean((_network(layers, x[rows], key) - y[rows]) ** 2)

        gradient = jax.grad(loss)(layers)
        updates, state = optimizer.update(gradient, state, layers)
        return (optax.apply_updates(layers, updates), state), None

    keys = jax.random.split(key, len(order))
    (layers, state), _ = jax.lax.scan(step, (layers, state), (order, keys))
    return layers, state


@jax.jit
def _mse(layers, x, y):
    return jnp.mean((_network(layers, x) - y) ** 2)


def _initial_layers(features: int, seed: int) -> list[tuple[jax.Array, jax.Array]]:
    """He normal kernels (arXiv:1502.01852), biases 0."""
    rng = np.random.default_rng([seed, 0])
    sizes = (features, *UNITS, 1)
    return [
        (
            jnp.asarray(rng.standard_normal((a, b), np.float32) * np.float32(np.sqrt(2 / a))),
            jnp.zeros(b, jnp.float32),
        )
        for a, b in pairwise(sizes)
    ]


def _adam() -> optax.GradientTransformation:
    # The learning rate is part of the state, so that all rates share one compiled program.
    return optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)


_OPTIMIZER = _adam()


def _fit_mlp(settings: MLPSettings, train, validation, *, seed: int):
    x, y, vx, vy = (jnp.asarray(a) for a in (*train, *validation))
    batch = min(settings.batch_size, len(x))
    batches = len(x) // batch
    best, best_loss, chosen = None, np.inf, float("nan")
    for rate in settings.learning_rates:
        layers = _initial_layers(x.shape[1], seed)
        state = _OPTIMIZER.init(layers)
        state.hyperparams["learning_rate"] = jnp.asarray(rate, jnp.float32)
        rng = np.random.default_rng([seed, 1])
        for epoch in range(settings.epochs):
            order = rng.permutation(len(x))[: batches * batch].reshape(batches, batch)
            key = jax.random.fold_in(jax.random.key(seed), epoch)
            layers, state = _epoch(layers, state, _OPTIMIZER, x, y, order, key)
            loss = float(_mse(layers, vx, vy))
            if loss < best_loss:  # a diverged run is NaN and never smaller
                best = [(np.asarray(w), np.asarray(b)) for w, b in layers]
                best_loss, chosen = loss, rate
    if best is None:
        raise InputError(
            "the network diverged with every learning rate; are the scores or features finite?"
        )
    arrays = {f"w{k}": w for k, (w, _) in enumerate(best)}
    return arrays | {f"b{k}": b for k, (_, b) in enumerate(best)}, chosen, best_loss


def _fit_svr(settings: SVRSettings, train, validation):
    (x, y), (vx, vy) = train, validation
    gamma = 1.0 / x.shape[1]  # the features have unit variance
    # The kernel is the same for every C, and the costly part when features are many.
    kernel, validation_kernel = _rbf(x, x, gamma), _rbf(vx, x, gamma)
    fitted = []
    for cost in settings.costs:
        machine = SVR(kernel="precomputed", C=cost, epsilon=settings.epsilon).fit(kernel, y)
        loss = float(np.mean((machine.predict(validation_kernel) - vy) ** 2))
        fitted.append((loss, cost, machine))
    loss, cost, machine = min(fitted, key=lambda f: f[0])
    arrays = {
        "vectors": x[machine.support_],
        "coefficients": machine.dual_coef_[0],
        "intercept": machine.intercept_,
        "gamma": np.array(gamma),
    }
    return arrays, cost, loss


def _support_vectors(arrays: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """sum_i alpha_i exp(-gamma |x - v_i|^2) + b."""
    kernel = _rbf(x, arrays["vectors"], float(arrays["gamma"]))
    return kernel @ arrays["coefficients"] + arrays["intercept"][0]


def _rbf(x: np.ndarray, v: np.ndarray, gamma: float) -> np.ndarray:
    """exp(-gamma |x_i - v_j|^2) in double precision."""
    x, v = x.astype(np.float64), v.astype(np.float64)
    squares = (x**2).sum(1)[:, None] + (v**2).sum(1)[None] - 2 * x @ v.T
    return np.exp(-gamma * np.maximum(squares, 0))
