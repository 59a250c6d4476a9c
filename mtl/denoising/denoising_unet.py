"""The network of `distortions.denoiser` in Flax NNX, for training."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from distortions.denoiser import LAYERS, Layer


class DenoisingUNet(nnx.Module):
    """The network of `distortions.denoiser.LAYERS`; predicts the noise in a picture."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.layers = nnx.Dict(
            {
                name: nnx.Conv(
                    layer.inputs,
                    layer.outputs,
                    (layer.side, layer.side),
                    padding="SAME",
                    kernel_init=_initialiser(layer),
                    rngs=rngs,
                )
                for name, layer in LAYERS.items()
            }
        )

    def __call__(self, image: Float[Array, "n h w 1"]) -> Float[Array, "n h w 1"]:
        """Return the noise in `image`, 0..1; height and width are multiples of 8."""
        return self.with_peaks(image)[0]

    def with_peaks(
        self, image: Float[Array, "n h w 1"]
    ) -> tuple[Float[Array, "n h w 1"], dict[str, Float[Array, ""]]]:
        """Return the noise, and of every layer but the last the largest activation it leads to."""
        peaks: dict[str, Array] = {}

        def apply(name: str, x: Array, added_to: Array | None = None) -> Array:
            layer = LAYERS[name]
            y = self.layers[name](x)
            if layer.halves < 0:
                y = _shuffle(y)
            results = [jax.nn.relu(y) if layer.rectified else y]
            if added_to is not None:
                results.append(added_to + results[0])
            peak = jnp.max(jnp.stack([jnp.abs(result).max() for result in results]))
            peaks[layer.scale] = jnp.maximum(peaks.get(layer.scale, peak), peak)
            return results[-1]

        def block(x: Array, name: str) -> Array:
            return apply(f"{name}_2", apply(f"{name}_1", x), added_to=x)

        half = block(apply("head", _unshuffle(image)), "encode_half")
        quarter = block(apply("to_quarter", _unshuffle(half)), "encode_quarter")
        eighth = block(block(apply("to_eighth", _unshuffle(quarter)), "eighth_a"), "eighth_b")
        quarter = block(apply("from_eighth", eighth, added_to=quarter), "decode_quarter")
        half = block(apply("from_quarter", quarter, added_to=half), "decode_half")
        return apply("tail", half), peaks


def _initialiser(layer: Layer) -> nnx.Initializer:
    """He before a rectifier, LeCun elsewhere, zero where a residual block or the network ends."""
    if layer.rectified:
        return nnx.initializers.he_normal()
    return nnx.initializers.zeros if layer.silent else nnx.initializers.lecun_normal()


def _unshuffle(x: Array) -> Array:
    """Four pixels of a 2 x 2 square become the channels of one."""
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, h // 2, w // 2, 4 * c)


def _shuffle(x: Array) -> Array:
    """The inverse of `_unshuffle`."""
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, 2 * h, 2 * w, c // 4)
