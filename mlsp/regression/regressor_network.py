"""The paper's shallow network, from features to one score: layers, initial weights, outputs.

DeepFL-IQA, arXiv:2001.08113, section IV-D: FC 2048, 1024 and 256 with ReLU and dropout of .25, .25
and .5, one linear output, He initialisation. The authors' program also has a variant with batch
normalisation: what is known of it names the layers and not their order, so it is here FC, batch
normalisation, ReLU, dropout, with Keras' momentum .99 and epsilon 1e-3 and the running statistics
at inference.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

UNITS = (2048, 1024, 256)
DROPOUT = (0.25, 0.25, 0.5)

# Keras' layer; the momentum can be set.
BATCH_NORM_EPSILON = 1e-3

Parameters = dict[str, Array]

# Not learned by gradient.
_STATISTICS = ("mean", "variance")


def initial_parameters(
    key: Array, features: int, units: tuple[int, int, int], batch_norm: bool
) -> Parameters:
    """Draw He normal kernels (arXiv:1502.01852), and biases 0; names as `network` has them."""
    parameters = {}
    for k, (a, b) in enumerate(pairwise((features, *units, 1))):
        drawn = jax.random.normal(jax.random.fold_in(key, k), (a, b))
        parameters |= {f"w{k}": drawn * np.float32(np.sqrt(2 / a)), f"b{k}": jnp.zeros(b)}
        if batch_norm and k < len(units):
            parameters |= {f"scale{k}": jnp.ones(b), f"shift{k}": jnp.zeros(b)}
            parameters |= {f"mean{k}": jnp.zeros(b), f"variance{k}": jnp.ones(b)}
    return parameters


def learned_parameters(parameters: Parameters) -> Parameters:
    """Return all but the running statistics."""
    return {n: p for n, p in parameters.items() if not n.startswith(_STATISTICS)}


def network(
    parameters: Parameters,
    x: Float[Array, "n f"],
    key: Array | None = None,
    momentum: float = 0.0,
) -> tuple[Float[Array, " n"], Parameters]:
    """Return outputs, and the running statistics after them; with a key as in training.

    Args:
        parameters: w0 b0 ... w3 b3; with batch normalisation also scale0 shift0 mean0 variance0 ...
        x: standardised features.
        key: of the dropout, which is on where there is one; statistics are then the batch's.
        momentum: of the running statistics.
    """
    statistics: Parameters = {}
    for k, rate in enumerate(DROPOUT):
        x = x @ parameters[f"w{k}"] + parameters[f"b{k}"]
        if f"scale{k}" in parameters:
            mean, variance = parameters[f"mean{k}"], parameters[f"variance{k}"]
            if key is not None:
                batch = x.mean(axis=0), x.var(axis=0)
                statistics[f"mean{k}"] = momentum * mean + (1 - momentum) * batch[0]
                statistics[f"variance{k}"] = momentum * variance + (1 - momentum) * batch[1]
                mean, variance = batch
            x = (x - mean) * jax.lax.rsqrt(variance + BATCH_NORM_EPSILON)
            x = x * parameters[f"scale{k}"] + parameters[f"shift{k}"]
        x = jax.nn.relu(x)
        if key is not None:
            kept = jax.random.bernoulli(jax.random.fold_in(key, k), 1 - rate, x.shape)
            x = jnp.where(kept, x / (1 - rate), 0)
    last = len(DROPOUT)
    return (x @ parameters[f"w{last}"] + parameters[f"b{last}"])[:, 0], statistics


def on_line(parameters: dict[str, np.ndarray], line: tuple[float, float]) -> dict[str, np.ndarray]:
    """Return the network whose outputs are on the line."""
    w, b = (f"{name}{len(UNITS)}" for name in "wb")
    slope, offset = (np.float32(v) for v in line)
    return {**parameters, w: parameters[w] * slope, b: parameters[b] * slope + offset}
