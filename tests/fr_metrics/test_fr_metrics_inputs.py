"""Errors at the boundary say what came."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_metrics import score, score_all

IMAGE = np.zeros((24, 32, 3), np.uint8)
FLOATS = np.full((24, 32, 3), 0.5, np.float32)


@pytest.mark.parametrize(
    ("reference", "distorted", "error", "message"),
    [
        (IMAGE.tolist(), IMAGE, TypeError, "reference must be a NumPy or JAX array, got list"),
        (IMAGE, None, TypeError, "distorted must be a NumPy or JAX array, got NoneType"),
        (IMAGE.astype(np.int32), IMAGE, TypeError, "reference must be uint8 .* got int32"),
        (IMAGE, IMAGE.astype(np.uint16), TypeError, "distorted must be uint8 .* got uint16"),
        (IMAGE > 0, IMAGE, TypeError, "got bool"),
        (IMAGE, FLOATS, TypeError, "both be uint8 or both be floating, got uint8 and float32"),
        (IMAGE[..., 0], IMAGE, ValueError, r"reference must be RGB .* got shape \(24, 32\)"),
        (IMAGE, IMAGE[..., :2], ValueError, r"distorted must be RGB .* got shape \(24, 32, 2\)"),
        (IMAGE[None, None], IMAGE, ValueError, r"got shape \(1, 1, 24, 32, 3\)"),
        (IMAGE, IMAGE[None][:0], ValueError, r"got shape \(0, 24, 32, 3\)"),
        (IMAGE, IMAGE[:, 1:], ValueError, r"\(24, 32, 3\) and \(24, 31, 3\)"),
        (np.stack([IMAGE] * 2), np.stack([IMAGE] * 3), ValueError, "2 references and 3 distorted"),
        (np.stack([IMAGE] * 2), IMAGE, ValueError, "2 references and 1 distorted"),
        (FLOATS * 255, FLOATS, ValueError, r"reference must lie in 0..1 .* from 127.5 to 127.5"),
        (FLOATS, FLOATS - 1, ValueError, r"distorted must lie in 0..1 .* from -0.5 to -0.5"),
        (FLOATS, FLOATS * np.nan, ValueError, "without NaN, got values from nan to nan"),
        (jnp.asarray(FLOATS) * 2.5, FLOATS, ValueError, r"from 1.25 to 1.25"),
    ],
)
def test_refused_pairs(reference, distorted, error, message):
    with pytest.raises(error, match=message):
        score("gmsd", reference, distorted)


def test_an_image_too_small_for_one_metric_names_it():
    with pytest.raises(ValueError, match=r"ms_ssim needs images of at least 176x176 pixels.*24x32"):
        score_all(IMAGE, IMAGE)
    assert set(score_all(IMAGE, IMAGE, metrics=["ssim", "gmsd"])) == {"ssim", "gmsd"}


def test_unknown_metrics_are_named():
    with pytest.raises(ValueError, match="unknown metric 'psnr'; known are ssim, "):
        score("psnr", IMAGE, IMAGE)
    with pytest.raises(ValueError, match="unknown metric 'psnr'"):
        score_all(IMAGE, IMAGE, metrics=["ssim", "psnr"])
    with pytest.raises(TypeError, match="got the string 'ssim'"):
        score_all(IMAGE, IMAGE, metrics="ssim")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, jnp.bfloat16])
def test_every_floating_dtype_is_scored_in_the_default_one(dtype):
    value = score("gmsd", FLOATS.astype(dtype), FLOATS.astype(dtype))
    assert value.dtype == np.float32
    assert value.shape == ()


def test_shapes_of_the_scores():
    assert score("gmsd", IMAGE, IMAGE).shape == ()
    assert score("gmsd", IMAGE[None], IMAGE).shape == (1,)
    assert score("gmsd", IMAGE, IMAGE[None]).shape == (1,)


def test_values_are_not_checked_while_tracing():
    value = jax.jit(lambda image: score("gmsd", image, image))(FLOATS * 4)
    assert float(value) == 0.0
