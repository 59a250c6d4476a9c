"""The losses against other programs' formulas in double precision, and by what they mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtl.network.model import Opinion
from mtl.ratings.distributions import RATINGS, expected_score
from mtl.training.opinions.losses import (
    HUBER_DELTA,
    LOSSES,
    cross_entropy,
    earth_movers_distance,
    huber,
    line_onto,
    mean_absolute_error,
    mean_squared_error,
    norm_in_norm,
    opinion_scores,
    plcc_loss,
)

CENTRES = np.arange(1, RATINGS + 1)


def shares(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum(axis=-1, keepdims=True)


# Counts of a crowd: many distributions have ratings that nobody gave.
counts = arrays(np.int64, (3, RATINGS), elements=st.integers(0, 120)).filter(
    lambda c: c.sum(axis=1).min() > 0
)
distributions = counts.map(shares)
positive = counts.map(lambda c: shares(c + 1))
scores = arrays(np.float32, (4, 1), elements=st.floats(-3, 3, width=32))


def single(array: np.ndarray) -> jax.Array:
    return jnp.asarray(array, jnp.float32)


@given(scores, scores)
def test_losses_of_scores_are_the_means_over_the_batch(predicted, target):
    difference = [
        abs(float(p) - float(t)) for p, t in zip(predicted.ravel(), target.ravel(), strict=True)
    ]
    absolute = float(mean_absolute_error(single(predicted), single(target)))
    squared = float(mean_squared_error(single(predicted), single(target)))
    assert absolute == pytest.approx(sum(difference) / 4, rel=1e-5, abs=1e-7)
    assert squared == pytest.approx(sum(d * d for d in difference) / 4, rel=1e-5, abs=1e-7)


@given(distributions, distributions)
def test_the_earth_movers_distance_is_a_scaled_energy_distance(p, q):
    ours = float(earth_movers_distance(single(p), single(q)))
    # scipy: sqrt(2 ∫ (U - V)²), and the step functions are constant between the ratings.
    energy = [
        scipy.stats.energy_distance(CENTRES, CENTRES, u, v) for u, v in zip(p, q, strict=True)
    ]
    assert ours == pytest.approx(np.mean(energy) / np.sqrt(2 * RATINGS), rel=1e-4, abs=1e-6)
    assert ours == pytest.approx(float(earth_movers_distance(single(q), single(p))), abs=1e-6)
    # Wasserstein's distance is the sum of what is here squared: a mean square of numbers up to 1
    # lies between the square of their mean and their mean.
    for u, v in zip(p, q, strict=True):
        each = float(earth_movers_distance(single(u[None]), single(v[None])))
        far = scipy.stats.wasserstein_distance(CENTRES, CENTRES, u, v) / RATINGS
        assert far - 1e-6 <= each <= np.sqrt(far) + 1e-3


@given(distributions, distributions)
def test_the_earth_movers_distance_is_nothing_for_equals_alone(p, q):
    assert float(earth_movers_distance(single(p), single(p))) == 0
    same = np.array_equal(p, q)
    assert (float(earth_movers_distance(single(p), single(q))) == 0) == same


def test_mass_that_moves_further_costs_more():
    masses = np.eye(RATINGS)
    for k in range(1, RATINGS):
        cost = float(earth_movers_distance(single(masses[:1]), single(masses[k : k + 1])))
        assert cost == pytest.approx(np.sqrt(k / RATINGS), rel=1e-6)


@given(distributions, distributions, st.sampled_from([HUBER_DELTA, 0.01, 0.5]))
def test_huber_is_scipys_summed_over_the_ratings(p, q, delta):
    expected = scipy.special.huber(delta, p - q).sum(axis=1).mean()
    assert float(huber(single(q), single(p), delta)) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_hubers_limits():
    p = np.array([[0.2, 0.2, 0.2, 0.2, 0.2]])
    small = p + np.array([[0.05, -0.05, 0.1, -0.1, 0]])
    assert float(huber(single(small), single(p))) == pytest.approx(0.0125, rel=1e-5)  # squares
    far, one = single(np.eye(RATINGS)[:1]), single(np.eye(RATINGS)[1:2])
    assert float(huber(far, one)) == pytest.approx(2 * (1 - 1 / 18) / 9, rel=1e-5)  # linear
    # Outside δ the slope is δ, however far.
    slope = jax.grad(huber)(far, one)
    np.testing.assert_allclose(slope[0, :2], [HUBER_DELTA, -HUBER_DELTA], rtol=1e-5)
    wide = float(huber(single(small), single(p), 1e6))
    assert wide == pytest.approx(0.5 * np.sum((small - p) ** 2), rel=1e-4)


@given(distributions, positive)
def test_cross_entropy_is_least_where_the_prediction_is_the_target(p, q):
    loss = float(cross_entropy(jnp.log(single(q)), single(p)))
    divergence = scipy.stats.entropy(p, q, axis=1).mean()
    least = scipy.stats.entropy(p, axis=1).mean()
    assert loss == pytest.approx(least + divergence, rel=1e-4, abs=1e-5)
    assert loss >= least - 1e-5


def test_ratings_that_nobody_gave_add_nothing_even_if_they_cannot_come():
    target = single([[0, 0.5, 0.5, 0, 0]])
    with np.errstate(divide="ignore"):
        certain = jnp.log(target)
    assert float(cross_entropy(certain, target)) == pytest.approx(np.log(2), rel=1e-6)
    gradient = jax.grad(cross_entropy)(jnp.maximum(certain, -1e30), target)
    np.testing.assert_allclose(gradient[0], [0, -0.5, -0.5, 0, 0])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("height", [0.0, 1.0, 200.0])
def test_gradients_are_finite_at_the_edges(name, height):
    loss = LOSSES[name]
    # A soft-max of 200 against -200 is 1 and 0 exactly: right, wrong, and equal to the target.
    rows = height * np.where(np.eye(RATINGS)[[0, 0, 2]], 1, -1)
    outputs = single(rows[:, : loss.outputs])
    targets = single(np.eye(RATINGS)[[0, 4, 2]][:, : loss.outputs])
    value, gradient = jax.jit(jax.value_and_grad(loss.function))(outputs, targets)
    assert np.isfinite(float(value)) and np.isfinite(gradient).all()


@pytest.mark.parametrize("name", [n for n, loss in LOSSES.items() if not loss.scale_free])
def test_following_the_gradient_leads_to_the_target(name):
    loss = LOSSES[name]
    target = single([[0.05, 0.1, 0.15, 0.3, 0.4]])[:, : loss.outputs]
    step = jax.jit(lambda x, rate: x - rate * jax.grad(loss.function)(x, target))
    outputs = jnp.zeros((1, loss.outputs)) + single([[0.6, -1, 0.5, 0, 1]])[:, : loss.outputs]
    before = float(loss.function(outputs, target))
    for k in range(400):
        outputs = step(outputs, 2.0 / (1 + k) if loss.outputs == 1 else 4.0 / (1 + k / 20))
    found = outputs if loss.outputs == 1 else jax.nn.softmax(outputs)
    np.testing.assert_allclose(found, target, atol=0.02)
    assert float(loss.function(outputs, target)) < before


@pytest.mark.parametrize("name", LOSSES)
def test_shapes_that_differ_are_an_error(name):
    outputs = LOSSES[name].outputs
    with pytest.raises(ValueError, match=rf"\(4, {outputs}\).*\(1, {outputs}\)"):
        LOSSES[name].function(jnp.zeros((4, outputs)), jnp.zeros((1, outputs)))


@given(counts)
def test_the_expected_score_is_the_mean_rating(given_counts):
    expected = [np.mean(np.repeat(CENTRES, row)) for row in given_counts]
    np.testing.assert_allclose(expected_score(given_counts), expected, rtol=1e-12)
    p = shares(given_counts)
    np.testing.assert_allclose(expected_score(p), expected, rtol=1e-12)
    np.testing.assert_allclose(6 - expected_score(p[:, ::-1]), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(expected_score)(single(p)), expected, rtol=1e-5)


def test_outputs_become_scores_on_the_raters_scale():
    direct = Opinion(1, 20.0, 80.0, None, "r.csv")
    scores, none = opinion_scores(direct, np.array([[0.0], [1.0], [1.5]], np.float32))
    assert scores.tolist() == [20, 80, 110] and none is None
    shared = Opinion(RATINGS, 1.0, 5.0, None, "r.csv")
    logits = np.log(np.array([[0.1, 0.2, 0.3, 0.2, 0.2], [0.5, 0.5, 1e-9, 1e-9, 1e-9]]))
    scores, distribution = opinion_scores(shared, logits + 7)
    np.testing.assert_allclose(scores, [3.2, 1.5], atol=1e-7)
    np.testing.assert_allclose(distribution[0], [0.1, 0.2, 0.3, 0.2, 0.2], rtol=1e-12)


# Sixteenths, which float32 holds exactly, and a spread that rounding is far from.
spread = arrays(np.float32, 12, elements=st.integers(-64, 64).map(lambda k: k / 16)).filter(
    lambda x: np.ptp(x) >= 1
)


@given(spread, spread)
def test_the_plcc_loss_is_scipys_correlation(predicted, target):
    r = scipy.stats.pearsonr(predicted, target).statistic
    ours = float(plcc_loss(single(predicted[:, None]), single(target[:, None])))
    assert ours == pytest.approx((1 - r) / 2, abs=1e-5)


def norm_in_norm_in_double(x, y, p, q):
    x, y = (v / np.linalg.norm(v, q) for v in (x - x.mean(), y - y.mean()))
    scale = 2 ** max(1, 1 / q) * len(x) ** max(0, 1 / p - 1 / q)
    return (np.linalg.norm(x - y, p) / scale) ** p


@given(spread, spread, st.sampled_from([(1, 2), (2, 2), (1, 1), (2, 1)]))
def test_norm_in_norm_is_the_papers_formula(predicted, target, exponents):
    expected = norm_in_norm_in_double(
        predicted.astype(np.float64), target.astype(np.float64), *exponents
    )
    columns = single(predicted[:, None]), single(target[:, None])
    assert float(norm_in_norm(*columns, None, *exponents)) == pytest.approx(expected, abs=1e-5)
    assert -1e-6 <= expected <= 1 + 1e-6
    if exponents == (2, 2):
        assert expected == pytest.approx(float(plcc_loss(*columns)), abs=1e-5)


@given(spread, spread, st.floats(0.1, 50), st.floats(-20, 20))
def test_scale_and_offset_of_the_predictions_do_not_matter(predicted, target, scale, offset):
    for loss in (LOSSES["plcc"].function, LOSSES["norm-in-norm"].function):
        one = float(loss(single(predicted[:, None]), single(target[:, None])))
        other = float(loss(single(scale * predicted[:, None] + offset), single(target[:, None])))
        assert one == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize("name", ["plcc", "norm-in-norm"])
def test_a_batch_is_put_in_the_order_of_its_scores(name):
    loss = LOSSES[name].function
    rng = np.random.default_rng(0)
    target = single(rng.normal(size=(20, 1)))
    outputs = single(rng.normal(size=(20, 1)))
    step = jax.jit(lambda x, rate: x - rate * jax.grad(loss)(x, target))
    for k in range(600):
        outputs = step(outputs, 20.0 / (1 + k / 20))
    assert scipy.stats.pearsonr(outputs[:, 0], target[:, 0]).statistic > 0.99


@given(spread, spread, arrays(np.int64, 12, elements=st.integers(1, 4)))
def test_a_picture_of_weight_w_counts_as_w_pictures(predicted, target, weights):
    columns = [single(v[:, None]) for v in (predicted, target)]
    repeated = [single(np.repeat(v, weights)[:, None]) for v in (predicted, target)]
    for name in ("plcc", "norm-in-norm"):
        loss = LOSSES[name].function
        expected = float(loss(*repeated))
        assert float(loss(*columns, single(weights))) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["mae", "mse", "cross_entropy", "huber", "emd", "classes"])
def test_weights_are_factors_of_each_pictures_loss(name):
    loss, rng = LOSSES[name], np.random.default_rng(1)
    outputs = single(rng.normal(size=(6, loss.outputs)))
    targets = single(rng.dirichlet(np.ones(RATINGS), 6)[:, : loss.outputs])
    weights = single([0, 1, 2, 3, 0.5, 10])
    each = [float(loss.function(outputs[k : k + 1], targets[k : k + 1])) for k in range(6)]
    expected = np.mean(np.asarray(weights) * each)
    assert float(loss.function(outputs, targets, weights)) == pytest.approx(expected, rel=1e-5)


@given(spread, spread)
def test_the_line_brings_predictions_onto_the_scale_and_never_turns_them(predicted, target):
    slope, offset = line_onto(predicted, target)
    assert slope > 0
    found = slope * predicted.astype(np.float64) + offset
    assert found.mean() == pytest.approx(target.mean(), abs=1e-5)
    best = scipy.stats.linregress(predicted, target)
    if best.slope > 1e-6:
        assert slope == pytest.approx(best.slope, rel=1e-4)
        assert offset == pytest.approx(best.intercept, abs=1e-4)
    else:
        assert found.std() == pytest.approx(target.std(), rel=1e-3)


def test_equal_predictions_keep_their_scale():
    assert line_onto(np.full(5, 0.1, np.float32), np.arange(5.0)) == pytest.approx((1, 1.9))


def test_classes_become_the_expectation_over_their_centres():
    opinion = Opinion(5, 0.0, 100.0, None, "r.csv", classes=True)
    shares_of = np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0.5, 0, 0, 0, 0.5], [0.2] * 5])
    scores, distribution = opinion_scores(opinion, np.log(shares_of + 1e-12))
    np.testing.assert_allclose(scores, [10, 90, 50, 50], atol=1e-6)
    np.testing.assert_allclose(distribution, shares_of, atol=1e-9)
