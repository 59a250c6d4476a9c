"""Distortion 15's denoiser in JAX, for workers that have a GPU; the same numbers to the last bit.

Every sum of `distortions.denoiser` is one of whole numbers that float32 holds exactly, so its value
does not depend on the order of its terms, on the library or on the device. Convolutions are written
as matrix products in full float32 precision: the faster algorithms that a convolution may be given
(Winograd, FFT, TF32) are not exact.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

from distortions.denoiser import WEIGHTS, Denoiser, WholeLayer


class DeviceDenoiser(Denoiser):
    """The package's denoiser on JAX's default device."""

    def __init__(self):
        with np.load(WEIGHTS, allow_pickle=False) as weights:
            super().__init__(weights)
        self._compiled = jax.jit(super()._noise)

    def _noise(self, image: Float32[np.ndarray, "h w 1"]) -> Float32[np.ndarray, "h w 1"]:
        return np.asarray(self._compiled(image))

    @staticmethod
    def _convolved(x: Float32[Array, "h w c"], layer: WholeLayer) -> Float32[Array, "h w d"]:
        height, width, _ = x.shape
        border = 1 if len(layer.kernel) > 1 else 0
        framed = jnp.pad(x, ((border, border), (border, border), (0, 0)))
        reach = range(2 * border + 1)
        offsets = [(down, right) for down in reach for right in reach]
        sums = layer.bias
        for tap, (down, right) in zip(layer.kernel, offsets, strict=True):
            shifted = framed[down : down + height, right : right + width]
            sums = sums + jnp.dot(shifted, tap, precision=jax.lax.Precision.HIGHEST)
        sums = sums * layer.step
        if not layer.rounded:
            return sums
        return jnp.clip(jnp.rint(sums), layer.lowest, layer.highest)
