"""The boundary of the package: what counts as a pair of images, and the errors that say so."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, UInt8

Images = UInt8[Array, "n h w 3"] | Float[Array, "n h w 3"]


def as_pairs(
    reference: object, distorted: object, min_sizes: dict[str, int]
) -> tuple[Images, Images, bool]:
    """Check two images or batches and give both a leading batch axis.

    Args:
        reference: one image ``(H, W, 3)`` or a batch ``(N, H, W, 3)``; a single image or a
            batch of one is compared with every distorted image.
        distorted: one image or a batch of the same height, width and kind of dtype.
        min_sizes: for each metric about to run, the smallest side in pixels it is defined for.

    Returns:
        The reference as ``(1 or N, H, W, 3)``, the distorted images as ``(N, H, W, 3)``, and
        whether both came as single images. ``uint8`` stays ``uint8``; floating images get JAX's
        default floating dtype (float32, or float64 under ``jax_enable_x64``).

    Raises:
        TypeError: not arrays, a dtype other than uint8 or floating, or one of each.
        ValueError: a shape that is not an RGB image or batch, different heights or widths, batches
            that do not match, an image too small for one of the metrics, or floating values that
            are not in 0..1 (checked for concrete values only, not while JAX is tracing).
    """
    first = _checked_image("reference", reference)
    second = _checked_image("distorted", distorted)
    if (first.dtype == jnp.uint8) != (second.dtype == jnp.uint8):
        raise TypeError(
            "reference and distorted must both be uint8 or both be floating, got "
            f"{first.dtype} and {second.dtype}"
        )
    if first.shape[-3:] != second.shape[-3:]:
        raise ValueError(
            "reference and distorted must have the same height and width, got shapes "
            f"{first.shape} and {second.shape}"
        )
    single = first.ndim == 3 and second.ndim == 3
    first = first if first.ndim == 4 else first[None]
    second = second if second.ndim == 4 else second[None]
    if first.shape[0] not in (1, second.shape[0]):
        raise ValueError(
            "a batch of references must hold one image or as many as distorted, got "
            f"{first.shape[0]} references and {second.shape[0]} distorted images"
        )
    height, width = first.shape[1:3]
    for name, size in min_sizes.items():
        if min(height, width) < size:
            raise ValueError(
                f"{name} needs images of at least {size}x{size} pixels, got {height}x{width}"
            )
    return jnp.asarray(first), jnp.asarray(second), single


def _checked_image(role: str, image: object) -> np.ndarray | jax.Array:
    if not isinstance(image, np.ndarray | jax.Array):
        raise TypeError(f"{role} must be a NumPy or JAX array, got {type(image).__name__}")
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError(f"{role} must have no mask; fill its masked pixels first")
    if image.dtype != jnp.uint8 and not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(f"{role} must be uint8 (0..255) or floating (0..1), got {image.dtype}")
    if image.ndim not in (3, 4) or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(
            f"{role} must be RGB of shape (H, W, 3) or (N, H, W, 3), got shape {image.shape}"
        )
    if image.dtype == jnp.uint8:
        return image
    if not isinstance(image, Tracer):
        # An array that is there has values while JAX traces too. A JAX array is waited for once.
        with jax.ensure_compile_time_eval():
            low, high = map(float, jax.device_get((image.min(), image.max())))
        # Written so that NaN, which compares false, is refused too.
        if not (low >= 0.0 and high <= 1.0):
            raise ValueError(
                f"floating {role} must lie in 0..1 without NaN, got values from {low} to {high}"
            )
    return image.astype(jnp.result_type(float))
