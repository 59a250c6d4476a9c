"""Support vector regression with kernels that are computed once for all values of C.

DeepFL-IQA, arXiv:2001.08113, section V-D1: an RBF kernel; DeepBIQ, arXiv:1602.05531, section 2: a
linear one. With f standardised features, K(x, y) = exp(-|x - y|² / f) or x · y / f, so that the
values of C mean about the same for any number of features and both kernels; scikit-learn's
SVR(kernel="linear", C=c / f) is the latter.

Each split standardises with its own training part, which gives the products of pictures a weight
per feature: no Gram matrix serves two splits. It is computed on the device, in float32 and full
precision, from its one copy of the features: of n pictures t train, 2 t n f operations per split
(2.1e12 for 6,075 of 10,125 pictures and 16,928 features); scikit-learn would compute it, on one
core, for each value of C.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mlsp.regression.settings import Kernel, SVRSettings

# Rows of the Gram matrix computed at once.
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Machine:
    """A fitted machine: f(x) = Σ_i coefficients_i K(x, v_i) + intercept."""

    cost: float
    """The C that validated best."""
    loss: float
    """Mean squared error on the validation part, in squared deviations of the training scores."""
    support: Int[np.ndarray, " v"]
    """Which rows of the training part are the support vectors v_i."""
    coefficients: Float[np.ndarray, " v"]
    intercept: float

    def predict(self, kernel: Float[np.ndarray, "n t"]) -> Float[np.ndarray, " n"]:
        """Return standardised scores, from the kernel between pictures and the training part."""
        return kernel[:, self.support].astype(np.float64) @ self.coefficients + self.intercept


def kernel_matrix(
    kernel: Kernel,
    features: Float[Array, "n f"],
    training: Float[Array, "m f"],
    rows: Int[np.ndarray, " t"],
    mean: Float[Array, " f"],
    deviation: Float[Array, " f"],
) -> Float[np.ndarray, "n t"]:
    """Return K between pictures and a training part, both standardised, in float32.

    Args:
        kernel: its name.
        features: of the pictures, on the device.
        training: features that the training part is rows of; may be the same array.
        rows: of the training part.
        mean: of the training part's features.
        deviation: of the training part's features.
    """
    known = _standardised(training, jnp.asarray(rows), mean, deviation)
    parts = [
        np.asarray(_kernel(kernel, features, known, jnp.arange(a, b), mean, deviation))
        for a, b in (
            (a, min(a + ROWS_AT_ONCE, len(features))) for a in range(0, len(features), ROWS_AT_ONCE)
        )
    ]
    return np.concatenate(parts)


def fit_machine(
    settings: SVRSettings,
    kernel: Float[np.ndarray, "t t"],
    targets: Float[np.ndarray, " t"],
    validation_kernel: Float[np.ndarray, "v t"],
    validation_targets: Float[np.ndarray, " v"],
    weights: Float[np.ndarray, " t"] | None = None,
) -> Machine:
    """Fit with every C, on as many cores as there are, and keep the one that validates best.

    Args:
        settings: of the training.
        kernel: between the pictures of the training part.
        targets: their standardised scores.
        validation_kernel: between the validation and the training part.
        validation_targets: standardised scores.
        weights: factors of C for each picture; none is 1 for all.
    """
    from sklearn.svm import SVR  # half a second, which a prediction need not take

    kernel = kernel.astype(np.float64)  # as libsvm wants it, once for all

    def fitted(cost: float) -> Machine:
        svr = SVR(kernel="precomputed", C=cost, epsilon=settings.epsilon, tol=settings.tolerance)
        svr.fit(kernel, targets, weights)
        machine = Machine(cost, 0.0, svr.support_, svr.dual_coef_[0], float(svr.intercept_[0]))
        error = machine.predict(validation_kernel) - validation_targets
        return replace(machine, loss=float(np.mean(error**2)))

    with ThreadPoolExecutor() as pool:
        machines: Sequence[Machine] = list(pool.map(fitted, settings.costs))
    return min(machines, key=lambda machine: machine.loss)


def machine_arrays(
    kernel: Kernel, machine: Machine, vectors: Float[np.ndarray, "v f"]
) -> dict[str, np.ndarray]:
    """Return what `support_vector_scores` needs of a machine.

    vectors, coefficients, gamma, intercept; with the linear kernel, whose sum over the vectors does
    not depend on x, weights and intercept.

    Args:
        kernel: its name.
        machine: fitted.
        vectors: its support vectors, standardised.
    """
    gamma = 1 / vectors.shape[1]  # the features have unit variance
    intercept = np.array([machine.intercept])
    if kernel == "linear":
        weights = gamma * (machine.coefficients @ vectors.astype(np.float64))
        return {"weights": weights, "intercept": intercept}
    return {
        "vectors": vectors,
        "coefficients": machine.coefficients,
        "gamma": np.array(gamma),
        "intercept": intercept,
    }


def support_vector_scores(
    kernel: Kernel, arrays: Mapping[str, np.ndarray], x: Float[np.ndarray, "n f"]
) -> Float[np.ndarray, " n"]:
    """Return Σ_i coefficients_i K(x, vectors_i) + intercept of standardised x, in float64."""
    x = x.astype(np.float64)
    if kernel == "linear":
        return x @ arrays["weights"] + arrays["intercept"][0]
    v = arrays["vectors"].astype(np.float64)
    squares = (x**2).sum(1)[:, None] + (v**2).sum(1)[None] - 2 * (x @ v.T)
    values = np.exp(-float(arrays["gamma"]) * np.maximum(squares, 0))
    return values @ arrays["coefficients"] + arrays["intercept"][0]


@jax.jit
def _standardised(features, rows, mean, deviation):
    return (features[rows].astype(jnp.float32) - mean) / deviation


@partial(jax.jit, static_argnums=0)
def _kernel(kernel: Kernel, features, known, rows, mean, deviation):
    x = _standardised(features, rows, mean, deviation)
    products = jnp.matmul(x, known.T, precision="highest")
    if kernel == "linear":
        return products / x.shape[1]
    squares = (x**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * products
    return jnp.exp(-jnp.maximum(squares, 0) / x.shape[1])
