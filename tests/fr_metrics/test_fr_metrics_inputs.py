"""Errors at the boundary say what came: at `score`, and at the functions of `METRICS`."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_metrics import METRICS, score, score_all

IMAGE = np.zeros((24, 32, 3), np.uint8)
FLOATS = np.full((24, 32, 3), 0.5, np.float32)

DOORS = {
    "score": lambda reference, distorted: score("gmsd", reference, distorted),
    "table": METRICS["gmsd"].function,
}
each_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


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
        (np.ma.masked_less(FLOATS, 1), FLOATS, TypeError, "reference must have no mask"),
        (IMAGE, np.zeros((24, 32, 4), np.uint8), ValueError, r"got shape \(24, 32, 4\)"),
        (FLOATS + 0j, FLOATS, TypeError, "got complex64"),
        (IMAGE[:2], IMAGE[:2], ValueError, "gmsd needs images of at least 3x3 pixels, got 2x32"),
    ],
)
@each_door
def test_refused_pairs(door, reference, distorted, error, message):
    with pytest.raises(error, match=message):
        door(reference, distorted)


@pytest.mark.parametrize("metric", METRICS)
def test_every_function_of_the_table_checks_what_comes(metric):
    function, side = METRICS[metric].function, METRICS[metric].min_size
    floats = np.full((1, side, side, 3), 0.5, np.float32)
    with pytest.raises(ValueError, match=r"reference must lie in 0..1 .* from 127.5 to 127.5"):
        function(floats * 255, floats)
    with pytest.raises(TypeError, match="both be uint8 or both be floating"):
        function((floats * 255).astype(np.uint8), floats)
    with pytest.raises(ValueError, match=f"{metric} needs images of at least {side}x{side}"):
        function(floats[:, 1:], floats[:, 1:])


@each_door
def test_arrays_of_any_layout_give_the_same_and_are_not_modified(door):
    base = np.random.default_rng(0).integers(0, 256, (2, 48, 66, 3), dtype=np.uint8)
    views = base[:, ::2, ::-2]
    views.flags.writeable = False
    expected = door(*(np.ascontiguousarray(view) for view in views))
    before = base.copy()
    np.testing.assert_array_equal(door(*views), expected)
    np.testing.assert_array_equal(base, before)
    floats = views / 255
    swapped = floats.astype(floats.dtype.newbyteorder())
    np.testing.assert_array_equal(door(*swapped), door(*floats))


def test_functions_of_the_table_give_what_score_gives():
    images = np.random.default_rng(1).random((3, 24, 32, 3), np.float32)
    function = METRICS["gmsd"].function
    for pair in ((images[0], images[1]), (images[:1], images), (images[0], images), (images,) * 2):
        value = function(*pair)
        assert value.shape == score("gmsd", *pair).shape
        np.testing.assert_allclose(value, score("gmsd", *pair), atol=1e-6)


def test_a_changed_row_checks_with_its_own_name_and_size():
    other = replace(METRICS["gmsd"], name="other", min_size=40)
    with pytest.raises(ValueError, match="other needs images of at least 40x40"):
        other.function(IMAGE, IMAGE)
    smaller = replace(other, min_size=3)
    assert smaller.function(IMAGE, IMAGE) == 0
    assert replace(smaller) == smaller
    assert hash(replace(smaller).function) == hash(smaller.function)


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


@each_door
def test_values_are_not_checked_while_tracing(door):
    value = jax.jit(lambda image: door(image, image))(FLOATS * 4)
    assert float(value) == 0.0


@each_door
def test_what_tracing_knows_is_checked(door):
    with pytest.raises(TypeError, match=r"distorted must be uint8 .* got int32"):
        jax.jit(lambda image: door(FLOATS, image))(IMAGE.astype(np.int32))
    with pytest.raises(ValueError, match="gmsd needs images of at least 3x3"):
        jax.grad(lambda image: door(image, FLOATS[:2]))(FLOATS[:2])
    with pytest.raises(ValueError, match="same height and width"):
        jax.vmap(lambda image: door(image, FLOATS[:9]))(np.stack([FLOATS] * 2))
    # A photograph beside the traced image has values, and 0..255 is what people have at hand.
    with pytest.raises(ValueError, match=r"reference must lie in 0..1 .* from 127.5 to 127.5"):
        jax.grad(lambda image: door(FLOATS * 255, image))(FLOATS)


def test_functions_of_the_table_are_differentiable_and_batched():
    images = np.random.default_rng(2).random((2, 24, 32, 3), np.float32)
    function = METRICS["gmsd"].function

    def loss(image):
        return function(images[0], image)

    value, gradient = jax.jit(jax.value_and_grad(loss))(images[1])
    assert gradient.shape == images[1].shape
    assert np.abs(gradient).max() > 0
    step = 1e-3 * gradient / np.abs(gradient).max()
    assert loss(np.clip(images[1] - step, 0, 1)) < value
    one_by_one = jax.vmap(loss)(images)
    np.testing.assert_allclose(one_by_one, function(images[:1], images), atol=1e-6)


@each_door
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_arrays_that_are_there_are_checked_while_tracing(door, kind):
    reference = kind(FLOATS)
    for transformed in (
        jax.jit(lambda image: door(reference, image)),
        jax.jit(jax.grad(lambda image: door(reference, image))),
        jax.checkpoint(lambda image: door(reference, image)),
        lambda image: jax.lax.map(lambda one: door(reference, one), image[None]),
    ):
        assert np.isfinite(transformed(FLOATS)).all()
    wrong = kind(FLOATS * 4)
    with pytest.raises(ValueError, match=r"reference must lie in 0..1 .* to 2.0"):
        jax.jit(lambda image: door(wrong, image))(FLOATS)
