"""What every metric promises, on crops of a few real pictures."""

import functools

import jax
import numpy as np
import pytest

from fr_metrics import METRICS, score, score_all

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


STEP = 1e-6
"""Of the finite differences, in units of the gray scale 0..1."""


def shortened(metric, images):
    """The top left of images; metrics that take small ones are spared three quarters of it."""
    return images if METRICS[metric].min_size > 97 else images[..., :97, :103, :]


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


@pytest.fixture(scope="module")
def floats(crops):
    reference, distorted = crops
    return reference.astype(np.float32) / 255, distorted.astype(np.float32) / 255


@pytest.fixture(scope="module")
def integers(crops):
    """For each metric, a reference and its versions that are large enough."""
    return {metric: tuple(shortened(metric, each) for each in crops) for metric in METRICS}


@pytest.fixture(scope="module")
def values_and_gradients(hasty_metric):
    """Scores of pairs of a batch, and their gradients in the images of the given arguments."""

    def summed(metric, references, distorted):
        values = score(metric, references, distorted)
        return values.sum(), values

    compiled = {
        arguments: hasty_metric(jax.value_and_grad(summed, argnums=arguments, has_aux=True))
        for arguments in ((1, 2), (2,))
    }

    def compute(metric, references, distorted, arguments):
        (_, values), gradients = compiled[arguments](metric, references, distorted)
        return np.asarray(values), [np.asarray(each) for each in gradients]

    return compute


@pytest.fixture(scope="module")
def in_single(floats, values_and_gradients):
    """For a metric, values and both gradients: of the versions, then of the degenerate pairs."""

    @functools.cache
    def compute(metric):
        reference, distorted = (shortened(metric, each) for each in floats)
        pairs = [(reference, each) for each in distorted]
        pairs += degenerate_pairs(reference).values()
        return values_and_gradients(
            metric, *(np.stack(each) for each in zip(*pairs, strict=True)), (1, 2)
        )

    return compute


@pytest.fixture(scope="module")
def in_double(floats, values_and_gradients):
    """For a metric, in double precision: of the versions, then of three for a difference."""

    @functools.cache
    def compute(metric):
        reference, distorted = (shortened(metric, each).astype(np.float64) for each in floats)
        random_reference, version, direction = random_pair(metric)
        near = [version, version + STEP * direction, version - STEP * direction]
        with jax.enable_x64(True):
            return values_and_gradients(
                metric,
                np.stack([reference] * 3 + [random_reference] * 3),
                np.stack([*distorted, *near]),
                (2,),
            )

    return compute


def random_pair(metric):
    random = np.random.default_rng(7)
    reference, noise, direction = shortened(metric, random.random((3, 177, 176, 3)))
    # Away from 0 and 1, so that the differences stay in range.
    reference = 0.1 + 0.8 * reference
    return reference, np.clip(reference + 0.1 * (noise - 0.5), 0.05, 0.95), direction


@each_metric
def test_an_image_against_itself_has_the_stated_score(metric, integers, hasty_score):
    expected, tolerance = METRICS[metric].identical, IDENTITY_TOLERANCE[metric]
    _, distorted = integers[metric]
    values = hasty_score(metric, distorted, distorted)
    assert values.shape == (3,)
    np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance)


@each_metric
def test_distortion_lowers_quality_within_the_range(metric, integers, hasty_score):
    values = np.asarray(hasty_score(metric, *integers[metric]))
    worse = values < 1 if METRICS[metric].higher_is_better else values > 0
    assert worse.all()
    assert (values > 0).all() and (values < 1).all()


@each_metric
def test_symmetry_or_its_absence(metric, integers, hasty_score):
    reference, distorted = integers[metric]
    references = np.repeat(reference[None], 3, axis=0)
    forward = hasty_score(metric, references, distorted)
    backward = hasty_score(metric, distorted, references)
    assert np.allclose(forward, backward, rtol=0, atol=2e-6) == SYMMETRIC[metric]


@each_metric
def test_one_reference_equals_as_many_references(metric, integers, hasty_score):
    reference, distorted = integers[metric]
    fast = hasty_score(metric, reference, distorted)
    references = np.repeat(reference[None], 3, axis=0)
    slow = hasty_score(metric, references, distorted)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=2e-6)


@each_metric
def test_a_batch_equals_a_loop(metric, integers, hasty_score):
    reference, distorted = integers[metric]
    batch = hasty_score(metric, reference, distorted)
    loop = [hasty_score(metric, reference, each) for each in distorted]
    assert all(value.shape == () for value in loop)
    np.testing.assert_allclose(batch, np.stack(loop), rtol=0, atol=2e-6)


@pytest.mark.parametrize("metric", ["ssim", "fsimc"])
def test_inside_jit_and_vmap(metric, floats):
    reference, distorted = floats
    inside = jax.jit(jax.vmap(lambda image: score(metric, reference, image)))(distorted)
    np.testing.assert_allclose(inside, score(metric, reference, distorted), rtol=0, atol=5e-6)


@each_metric
def test_single_precision_float_images_are_close_to_double(metric, in_single, in_double):
    single, double = (compute(metric)[0][:3] for compute in (in_single, in_double))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, atol=2e-4 if metric == "mdsi" else 2e-5, rtol=0)


@each_metric
def test_8_bit_and_floating_images_nearly_agree(metric, integers, hasty_score, in_single):
    # The difference is the rounding of gray values, which floating images do not undergo.
    values = hasty_score(metric, *integers[metric])
    np.testing.assert_allclose(values, in_single(metric)[0][:3], rtol=0, atol=2e-3)


@each_metric
def test_the_gradient_agrees_with_finite_differences(metric, in_double):
    values, (gradients,) = in_double(metric)
    _, _, direction = random_pair(metric)
    slope = np.sum(gradients[3] * direction)
    _, above, below = values[3:]
    assert slope == pytest.approx((above - below) / (2 * STEP), rel=1e-4, abs=1e-7)


@each_metric
def test_degenerate_pairs_have_finite_values_and_gradients(metric, floats, in_single):
    values, both = in_single(metric)
    for index, name in enumerate(degenerate_pairs(floats[0]), start=3):
        assert np.isfinite(values[index]), name
        assert all(np.isfinite(gradients[index]).all() for gradients in both), name
        if name == "identical" or name.startswith("both"):
            assert values[index] == pytest.approx(METRICS[metric].identical, abs=1e-6), name


@pytest.mark.parametrize("metric", ["ms_ssim", "iw_ssim"])
def test_a_negative_mean_of_a_scale_gives_zero(metric, floats, in_single):
    assert list(degenerate_pairs(floats[0]))[-1] == "inverted"
    values, (_, gradients) = in_single(metric)
    assert values[-1] == 0.0
    assert not np.any(gradients[-1])


@each_metric
def test_the_smallest_accepted_size_works_and_one_less_does_not(metric, hasty_score):
    size = METRICS[metric].min_size
    random = np.random.default_rng(1)
    # For the largest of the sizes, the shape of the crops.
    reference, distorted = random.integers(0, 256, (2, size + 1, size, 3), np.uint8)
    assert np.isfinite(hasty_score(metric, reference, distorted))
    with pytest.raises(ValueError, match=rf"{metric} needs images of at least {size}x{size} pix"):
        score(metric, reference[:, :-1], distorted[:, :-1])


def test_a_nan_under_tracing_stays_in_its_own_pair(floats, hasty_jit):
    reference, distorted = floats
    spoiled = distorted.copy()
    spoiled[0] = np.nan
    values = hasty_jit(lambda images: score_all(reference, images, ("ssim", "mdsi")))(spoiled)
    for name in ("ssim", "mdsi"):
        np.testing.assert_array_equal(np.isnan(values[name]), [True, False, False])
