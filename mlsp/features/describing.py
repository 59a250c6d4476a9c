"""The program that describes pictures: extraction and prediction run the same one.

Compiling a network takes tens of seconds for each shape of a batch. Weights are arguments,
heads are left to a program of their own, and the average of the last layer, which most heads need,
is computed whatever else is asked for; so what one command has compiled serves the next, with any
model of the same network and width, out of the compilation cache.
"""

from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from mlsp.features.pooling import Kind, pooled
from mtl.network.weights import TrainedModel
from mtl.runtime import compilation_cache

Describer = Callable[[ArrayLike, ArrayLike | None], dict[Kind, Float[Array, "n ..."]]]


def on_device(model: TrainedModel) -> dict[str, Array]:
    """The model's weights where its programs run."""
    return {name: jnp.asarray(values) for name, values in model.weights.items()}


def describer(
    model: TrainedModel, weights: Mapping[str, Array], kinds: Iterable[Kind] = ("mlsp",)
) -> Describer:
    """A compiled function from pixels and sizes to features by kind; compiled once per shape.

    Pixels (n, h, w, 3) are 0..255; sizes (n, 2) are the height and width of each picture, in the
    upper left corner of its image, or None where pictures are as large as their images.

    Args:
        model: read by `mtl.network.weights.load_model`.
        weights: see `on_device`.
        kinds: of the features; `gap` is always among the results.
    """
    wanted: set[Kind] = {"gap", *kinds}

    @jax.jit
    def described(weights, images, sizes):
        network = model.functional.model(weights)
        last, blocks = network.body.maps(network.scaled(images), sizes)
        return {kind: pooled(kind, last, blocks) for kind in sorted(wanted)}

    compilation_cache.enable()
    return lambda images, sizes: described(weights, images, sizes)
