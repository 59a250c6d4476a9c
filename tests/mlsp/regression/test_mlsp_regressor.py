"""All repetitions at once: the same as one alone, however grouped; kinds, losses, weights, others.

The networks are small, but for the sizes that are counted; test_mlsp_regression.py has the paper's.
"""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.svm import SVR

from mlsp.regression import (
    KINDS,
    Examples,
    Execution,
    MLPSettings,
    SVRSettings,
    fit,
    load_regressor,
    save_regressor,
    settings_of,
    train_and_test,
)
from mlsp.regression.network_epoch import begin
from mlsp.regression.network_groups import available_bytes, grouped_members, member_bytes
from mlsp.regression.regressor_network import network
from mlsp.regression.standardisation import Standard
from mtl.evaluation.splits import Split, split_by_group
from mtl.runtime.files import InputError
from mtl.training.opinions.balancing import proportion_weights

SMALL = (64, 32, 16)
NETWORK = MLPSettings((1e-2, 1e-3), epochs=3, batch_size=16, units=SMALL)
FITTING_ONE = Execution(memory=1)  # byte: each member trains alone


@pytest.fixture(scope="module")
def known():
    """90 rows of 8 features of unequal scale in unequal groups, and a score two of them decide."""
    rng = np.random.default_rng(0)
    scale = np.logspace(-1, 1, 8)
    features = (3 + rng.normal(size=(90, 8))) * scale
    scores = 50 + 10 * (features[:, 0] / scale[0] - features[:, 5] / scale[5])
    groups = [f"photo {int(np.sqrt(2 * k))}" for k in range(90)]
    splits = [split_by_group(groups, seed=2, repetition=k) for k in range(3)]
    return features.astype(np.float32), scores + rng.normal(size=90), splits


@pytest.fixture(scope="module")
def plenty():
    """300 rows of 6 features, of which a score is the sum of two; one split."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(300, 6)).astype(np.float32)
    scores = 50 + 10 * (features[:, 0] - features[:, 4]) + rng.normal(size=300)
    return features, scores, [split_by_group([f"{k}" for k in range(300)], seed=0, repetition=0)]


@pytest.fixture(scope="module")
def together(known):
    """All members in one group."""
    features, scores, splits = known
    return train_and_test(NETWORK, Examples(features, scores), splits, seed=5)


def assert_alike(one, two) -> None:
    assert one.chosen == two.chosen
    assert one.validation_loss == pytest.approx(two.validation_loss, rel=1e-3)
    np.testing.assert_allclose(one.predicted, two.predicted, atol=2e-2)  # of scores around 50


def test_groups_do_not_change_a_repetition(known, together):
    features, scores, splits = known
    assert len({len(split.train) // 16 for split in splits}) > 1  # unequal numbers of batches
    alone = train_and_test(
        NETWORK, Examples(features, scores), splits, seed=5, execution=FITTING_ONE
    )
    for one, two in zip(together, alone, strict=True):
        assert_alike(one, two)


def test_a_repetition_is_what_fitting_it_alone_gives(known, together):
    features, scores, splits = known
    split = splits[1]
    parts = [Examples(features[rows], scores[rows]) for rows in (split.train, split.validation)]
    regressor = fit(NETWORK, *parts, seed=6)
    assert regressor.chosen == together[1].chosen
    assert regressor.validation_loss == pytest.approx(together[1].validation_loss, rel=1e-3)
    predicted = regressor.predict(features[split.test])
    np.testing.assert_allclose(predicted, together[1].predicted, atol=2e-2)
    # The loss is the mean squared error of what the kept network says of the validation part.
    error = regressor.predict(features[split.validation]) - scores[split.validation]
    found = np.mean((error / regressor.standard.score_deviation) ** 2)
    assert found == pytest.approx(regressor.validation_loss, rel=1e-3)


def test_groups_are_as_large_as_the_memory_allows():
    splits = [Split(np.arange(70), np.arange(5), np.arange(5))] * 4
    splits += [Split(np.arange(9), np.arange(5), np.arange(5))]
    each = member_bytes(NETWORK, 8, keep=False)
    kept, plain = (member_bytes(MLPSettings(), 16928, keep=keep) for keep in (True, False))
    assert kept - plain == 4 * sum(a * b + b for a, b in pairwise((16928, 2048, 1024, 256, 1)))
    assert plain > 4 * (kept - plain)  # weights, gradient and two moments, and rows
    sizes = {}
    for at_once in (0.5, 1, 3, 5, 100):
        groups = grouped_members(NETWORK, 8, splits, False, int(at_once * each))
        members = [member for group in groups for member in group]
        assert sorted(members) == sorted((k, rate) for k in range(5) for rate in (1e-2, 1e-3))
        sizes[at_once] = [len(group) for group in groups]
    # Nine training rows make another batch, and another program.
    assert sizes == {0.5: [1] * 10, 1: [1] * 10, 3: [2, 3, 3, 2], 5: [4, 4, 2], 100: [8, 2]}
    assert available_bytes() > 10**8


def test_batch_normalisation_learns_and_judges_by_running_statistics(plenty, tmp_path):
    features, scores, splits = plenty
    settings = MLPSettings((1e-2,), 12, 32, SMALL, batch_norm=True, momentum=0.8)
    split = splits[0]
    parts = [Examples(features[rows], scores[rows]) for rows in (split.train, split.validation)]
    regressor = fit(settings, *parts, seed=0)
    predicted = regressor.predict(features[split.test])
    assert scipy.stats.spearmanr(predicted, scores[split.test]).statistic > 0.7
    # One picture at a time has no statistics of its own.
    single = [regressor.predict(features[k : k + 1])[0] for k in split.test[:3]]
    np.testing.assert_allclose(single, predicted[:3], rtol=1e-4)
    save_regressor(tmp_path / "r.npz", regressor)
    loaded = load_regressor(tmp_path / "r.npz")
    assert loaded.kind == "mlp-bn" and set(loaded.arrays) == set(regressor.arrays)
    np.testing.assert_array_equal(loaded.predict(features), regressor.predict(features))
    assert {"scale0", "shift2", "mean1", "variance2"} <= set(regressor.arrays)


def test_the_layer_with_batch_normalisation_is_keras():
    """Against the formula of Keras' layer in double precision, in training and after it."""
    rng = np.random.default_rng(0)
    keys = jnp.stack([jax.random.key(0)])
    state = begin(keys, 4, SMALL, True, False)
    parameters = {name: array[0] for name, array in state.parameters.items()}
    x = rng.normal(size=(16, 4)).astype(np.float32)
    _, statistics = network(parameters, x, jax.random.key(1), 0.99)
    y = x.astype(np.float64) @ np.asarray(parameters["w0"], np.float64)
    np.testing.assert_allclose(statistics["mean0"], 0.01 * y.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics["variance0"], 0.99 + 0.01 * y.var(0), rtol=1e-5)
    outputs, none = network(parameters | statistics, x)
    assert not none
    h = x.astype(np.float64)
    for k in range(3):
        p = {n: np.asarray(v, np.float64) for n, v in (parameters | statistics).items()}
        h = h @ p[f"w{k}"] + p[f"b{k}"]
        h = (h - p[f"mean{k}"]) / np.sqrt(p[f"variance{k}"] + 1e-3)
        h = np.maximum(h, 0)
    np.testing.assert_allclose(outputs, (h @ p["w3"])[:, 0], rtol=1e-3, atol=1e-4)


def test_initial_weights_are_he_normal():
    state = begin(jnp.stack([jax.random.key(k) for k in (0, 1)]), 50, (200, 100, 400), False, False)
    for k, incoming in enumerate((50, 200, 100, 400)):
        drawn = np.asarray(state.parameters[f"w{k}"])
        assert drawn.std() == pytest.approx(np.sqrt(2 / incoming), rel=0.1)
        assert not np.asarray(state.parameters[f"b{k}"]).any()
        assert not np.array_equal(drawn[0], drawn[1])


@pytest.mark.parametrize("loss", ["mae", "plcc", "norm-in-norm"])
def test_every_loss_learns_on_the_users_scale(plenty, loss):
    features, scores, splits = plenty
    settings = MLPSettings((1e-2,), epochs=12, batch_size=32, units=SMALL, loss=loss)
    (found,) = train_and_test(
        settings, Examples(features, scores), splits, weighting=proportion_weights
    )
    true = scores[splits[0].test]
    assert scipy.stats.spearmanr(found.predicted, true).statistic > 0.7
    assert np.sqrt(np.mean((found.predicted - true) ** 2)) < 0.8 * true.std()


def test_weights_are_those_of_the_training_part(known, together):
    features, scores, splits = known
    seen = []

    def ones(part):
        seen.append(part)
        return np.ones(len(part))

    plain = train_and_test(NETWORK, Examples(features, scores), splits, seed=5, weighting=ones)
    for part, split in zip(seen, splits, strict=True):
        assert np.array_equal(part, scores[split.train])
    for one, two in zip(together, plain, strict=True):
        assert_alike(one, two)


def test_a_picture_without_weight_teaches_nothing(known):
    features, scores, splits = known
    split = splits[0]
    settings = replace(NETWORK, learning_rates=(1e-2,), epochs=3)
    swapped = scores.copy()  # with the same mean and deviation
    swapped[split.train[:20]] = scores[split.train[:20]][::-1]

    def without(part):
        return (np.arange(len(part)) >= 20).astype(float)

    one, two, three = (
        train_and_test(settings, Examples(features, some), [split], weighting=w)[0].predicted
        for some, w in ((scores, without), (swapped, without), (swapped, None))
    )
    np.testing.assert_allclose(one, two, atol=2e-2)
    assert np.abs(one - three).max() > 0.5


def test_other_databases_are_predicted_as_the_kept_regressor_does(known, together):
    features, scores, splits = known
    other = features[::3] + 0.25
    for settings in (NETWORK, SVRSettings((1.0,)), SVRSettings((1.0,), kernel="linear")):
        found = train_and_test(
            settings, Examples(features, scores), splits[:2], seed=5, others=[other]
        )
        split = splits[1]
        parts = [Examples(features[rows], scores[rows]) for rows in (split.train, split.validation)]
        regressor = fit(settings, *parts, seed=6)
        (elsewhere,) = found[1].others
        np.testing.assert_allclose(elsewhere, regressor.predict(other), atol=2e-2)
        if settings is NETWORK:
            assert_alike(found[1], together[1])


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_support_vectors_are_scikit_learns_on_the_same_features(known, kernel):
    features, scores, splits = known
    for half in (np.float32, np.float16):
        stored = features.astype(half)
        settings = SVRSettings((2.0,), kernel=kernel, tolerance=1e-6)
        found = train_and_test(settings, Examples(stored, scores), splits)
        for split, outcome in zip(splits, found, strict=True):
            standard = Standard.of(jnp.asarray(stored), scores, split.train)
            x, y = standard.features(stored), standard.scores(scores)
            # The linear kernel is divided by the number of features, and C with it.
            given = {"gamma": 1 / 8, "C": 2.0} if kernel == "rbf" else {"C": 2.0 / 8}
            machine = SVR(kernel=kernel, epsilon=0.1, tol=1e-6, **given)
            machine.fit(x[split.train], y[split.train])
            expected = standard.back(machine.predict(x[split.test]))
            np.testing.assert_allclose(outcome.predicted, expected, rtol=1e-4)


def test_the_cost_that_validates_best_is_kept(known):
    features, scores, splits = known
    costs = (1e-4, 1.0, 10.0)
    (chosen,) = train_and_test(SVRSettings(costs), Examples(features, scores), splits[:1])
    each = [
        train_and_test(SVRSettings((c,)), Examples(features, scores), splits[:1])[0] for c in costs
    ]
    best = min(each, key=lambda outcome: outcome.validation_loss)
    assert chosen.chosen == best.chosen != costs[0]
    np.testing.assert_array_equal(chosen.predicted, best.predicted)


def test_standardisation_is_of_the_training_part_and_leaves_constants(known):
    features, scores, splits = known
    constant = np.column_stack([features, np.full(90, 0.1, np.float32), np.zeros(90, np.float32)])
    constant[splits[0].test, -1] = 7  # constant where it trains
    standard = Standard.of(jnp.asarray(constant), scores, splits[0].train)
    part = constant[splits[0].train].astype(np.float64)
    np.testing.assert_allclose(standard.feature_mean, part.mean(0), rtol=1e-5)
    np.testing.assert_allclose(standard.feature_deviation[:-2], part.std(0)[:-2], rtol=1e-4)
    assert standard.feature_deviation[-2:].tolist() == [1, 1]
    assert standard.feature_mean[-2] == np.float32(0.1)


def test_a_rate_that_diverges_never_wins(known):
    features, scores, splits = known
    wild = MLPSettings((1e30, 1e-3), epochs=2, batch_size=16, units=SMALL)
    (found,) = train_and_test(wild, Examples(features, scores), splits[:1])
    assert found.chosen == 1e-3 and np.isfinite(found.predicted).all()
    with pytest.raises(InputError, match="diverged with every learning rate"):
        train_and_test(
            replace(wild, learning_rates=(1e30,)), Examples(features, scores), splits[:1]
        )


def test_numbers_that_are_not_finite_are_refused(known):
    features, scores, splits = known
    broken = features.copy()
    broken[3, 2] = np.inf
    for settings in (NETWORK, SVRSettings()):
        with pytest.raises(InputError, match="some features are not finite"):
            train_and_test(settings, Examples(broken, scores), splits)
        with pytest.raises(InputError, match="some scores are not finite"):
            train_and_test(
                settings, Examples(features, np.where(scores > 50, np.nan, scores)), splits
            )
    with pytest.raises(ValueError, match="do not go together"):
        train_and_test(NETWORK, Examples(features, scores[:-1]), splits)
    with pytest.raises(ValueError, match="do not go together"):
        train_and_test(NETWORK, Examples(features, scores), splits, others=[features[:, 1:]])


def test_every_kind_has_settings_of_its_name():
    assert [settings_of(kind).kind for kind in KINDS] == list(KINDS)
