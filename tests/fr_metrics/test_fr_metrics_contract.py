"""What every metric promises, on crops of a few real pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_metrics import METRICS, Metric, score, score_all

SYMMETRIC = {
    "vsi": True,
    "ssim": True,
    "ms_ssim": True,
    "iw_ssim": False,
    "mdsi": False,
    "fsimc": True,
    "gmsd": True,
    "sff": False,
    "scqi": True,
    "add_gsim": True,
    "sr_sim": True,
}
IDENTITY_TOLERANCE = dict.fromkeys(METRICS, 1e-6) | {"mdsi": 0.0, "gmsd": 0.0}
each_metric = pytest.mark.parametrize("metric", METRICS)


@pytest.fixture(scope="module")
def floats(crops):
    reference, distorted = crops
    return reference.astype(np.float32) / 255, distorted.astype(np.float32) / 255


def gradients(metric, reference, distorted):
    """Value of one float pair and the gradients in both images."""
    compiled = _GRADIENTS.setdefault(
        metric, jax.jit(jax.value_and_grad(lambda r, d: score(metric, r, d), argnums=(0, 1)))
    )
    return compiled(reference, distorted)


_GRADIENTS = {}


@each_metric
def test_an_image_against_itself_has_the_stated_score(metric, crops):
    expected, tolerance = METRICS[metric].identical, IDENTITY_TOLERANCE[metric]
    _, distorted = crops
    values = score(metric, distorted, distorted)
    assert values.shape == (3,)
    np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance)


@each_metric
def test_distortion_lowers_quality_within_the_range(metric, crops):
    values = np.asarray(score(metric, *crops))
    worse = values < 1 if METRICS[metric].higher_is_better else values > 0
    assert worse.all()
    assert (values > 0).all() and (values < 1).all()


@each_metric
def test_symmetry_or_its_absence(metric, crops):
    reference, distorted = crops
    references = np.repeat(reference[None], 3, axis=0)
    forward, backward = score(metric, references, distorted), score(metric, distorted, references)
    assert np.allclose(forward, backward, rtol=0, atol=2e-6) == SYMMETRIC[metric]


@each_metric
def test_one_reference_equals_as_many_references(metric, crops):
    reference, distorted = crops
    fast = score(metric, reference, distorted)
    np.testing.assert_allclose(
        fast, score(metric, np.repeat(reference[None], 3, axis=0), distorted), rtol=0, atol=2e-6
    )
    np.testing.assert_array_equal(fast, score(metric, reference[None], distorted))


@each_metric
def test_a_batch_equals_a_loop(metric, crops):
    reference, distorted = crops
    batch = score(metric, reference, distorted)
    loop = [score(metric, reference, each) for each in distorted]
    assert all(value.shape == () for value in loop)
    np.testing.assert_allclose(batch, np.stack(loop), rtol=0, atol=2e-6)


@each_metric
def test_compiled_equals_eager(metric, crops):
    reference, distorted = jnp.asarray(crops[0])[None], jnp.asarray(crops[1][:1])
    with jax.disable_jit():
        eager = METRICS[metric].function(reference, distorted)
    np.testing.assert_allclose(score(metric, reference, distorted), eager, rtol=0, atol=5e-6)


@pytest.mark.parametrize("metric", ["ssim", "fsimc"])
def test_inside_jit_and_vmap(metric, floats):
    reference, distorted = floats
    inside = jax.jit(jax.vmap(lambda image: score(metric, reference, image)))(distorted)
    np.testing.assert_allclose(inside, score(metric, reference, distorted), rtol=0, atol=5e-6)


@each_metric
def test_single_precision_float_images_are_close_to_double(metric, floats):
    single = np.asarray(score(metric, *floats))
    with jax.enable_x64(True):
        double = np.asarray(score(metric, *floats))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, atol=2e-4 if metric == "mdsi" else 2e-5, rtol=0)


@each_metric
def test_8_bit_and_floating_images_nearly_agree(metric, crops, floats):
    # The difference is the rounding of gray values, which floating images do not undergo.
    np.testing.assert_allclose(score(metric, *crops), score(metric, *floats), rtol=0, atol=2e-3)


@each_metric
def test_the_gradient_agrees_with_finite_differences(metric):
    random = np.random.default_rng(7)
    reference, noise, direction = random.random((3, 177, 184, 3))
    # Away from 0 and 1, so that the differences stay in range.
    reference = 0.1 + 0.8 * reference
    distorted = np.clip(reference + 0.1 * (noise - 0.5), 0.05, 0.95)
    step = 1e-6
    with jax.enable_x64(True):
        _, (_, gradient) = gradients(metric, reference, distorted)
        slope = float(jnp.sum(gradient * direction))
        above, below = (
            float(gradients(metric, reference, distorted + sign * step * direction)[0])
            for sign in (1, -1)
        )
    assert slope == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-7)


def degenerate_pairs(photograph):
    flat = np.full_like(photograph, 128 / 255)
    black, white = np.zeros_like(photograph), np.ones_like(photograph)
    return {
        "identical": (photograph, photograph),
        "both constant": (flat, flat),
        "both black": (black, black),
        "black and white": (black, white),
        "constant reference": (flat, photograph),
        "constant distorted": (photograph, flat),
        "white distorted": (photograph, white),
        "inverted": (photograph, 1 - photograph),
    }


@each_metric
def test_degenerate_pairs_have_finite_values_and_gradients(metric, floats):
    for name, (reference, distorted) in degenerate_pairs(floats[0]).items():
        value, both = gradients(metric, reference, distorted)
        assert np.isfinite(value), name
        assert all(np.isfinite(gradient).all() for gradient in both), name
        if reference is distorted or name.startswith("both"):
            assert float(value) == pytest.approx(METRICS[metric].identical, abs=1e-6), name


@pytest.mark.parametrize("metric", ["ms_ssim", "iw_ssim"])
def test_a_negative_mean_of_a_scale_gives_zero(metric, floats):
    value, (_, gradient) = gradients(metric, floats[0], 1 - floats[0])
    assert float(value) == 0.0
    assert not np.any(gradient)


@each_metric
def test_the_smallest_accepted_size_works_and_one_less_does_not(metric):
    size = METRICS[metric].min_size
    random = np.random.default_rng(1)
    reference, distorted = random.integers(0, 256, (2, size, size + 1, 3), np.uint8)
    assert np.isfinite(score(metric, reference, distorted))
    with pytest.raises(ValueError, match=rf"{metric} needs images of at least {size}x{size} pix"):
        score(metric, reference[:-1], distorted[:-1])


def test_a_nan_under_tracing_stays_in_its_own_pair(floats):
    reference, distorted = floats
    spoiled = distorted.copy()
    spoiled[0] = np.nan
    values = jax.jit(lambda images: score_all(reference, images, ("ssim", "mdsi")))(spoiled)
    for name in ("ssim", "mdsi"):
        np.testing.assert_array_equal(np.isnan(values[name]), [True, False, False])


def test_inputs_are_not_modified(crops):
    before = [each.copy() for each in crops]
    score_all(*crops)
    assert all(np.array_equal(a, b) for a, b in zip(before, crops, strict=True))


def test_score_all_holds_every_score_in_the_order_of_the_table(crops):
    scores = score_all(*crops)
    assert list(scores) == list(METRICS)
    for name, metric in METRICS.items():
        assert isinstance(metric, Metric)
        np.testing.assert_array_equal(scores[name], score(metric, *crops))
    assert list(score_all(*crops, metrics=["gmsd", "ssim"])) == ["gmsd", "ssim"]
