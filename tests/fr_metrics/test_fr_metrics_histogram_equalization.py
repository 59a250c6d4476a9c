"""Equalised targets are uniform, increasing, invertible and independent of the scores' order."""

import json
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_metrics import HistogramEqualization

modest = settings(deadline=None, database=None, max_examples=60)
numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))
columns = st.lists(numbers, min_size=1, max_size=60)


def uniform_distance(targets):
    """Largest distance between the targets' empirical distribution and the uniform one."""
    ordered = np.sort(targets)
    ranks = np.arange(1, ordered.size + 1) / ordered.size
    return max(np.abs(ranks - ordered).max(), np.abs(ranks - 1 / ordered.size - ordered).max())


def realistic_scores(size=20_000):
    random = np.random.default_rng(4)
    return {
        "ssim": random.beta(5, 2, size),
        "vsi": 1 - 0.02 * random.beta(1, 4, size),
        "mdsi": random.gamma(8.0, 0.04, size),
        "outlier": np.append(0.99 + 0.001 * random.random(size - 1), -40.0),
        "two_groups": np.where(random.random(size) < 0.4, 0.1, 0.9) + 0.01 * random.random(size),
    }


@pytest.mark.parametrize("name", realistic_scores(10))
def test_targets_are_close_to_uniform(name):
    scores = {name: realistic_scores()[name]}
    targets = HistogramEqualization.fit(scores).transform(scores)[name]
    assert (targets.min(), targets.max()) == (0.0, 1.0)
    assert uniform_distance(targets) < 2e-3


@pytest.mark.parametrize("name", realistic_scores(10))
def test_targets_of_unseen_scores_are_close_to_uniform(name):
    scores = realistic_scores()[name]
    fitted = HistogramEqualization.fit({name: scores[::2]})
    assert uniform_distance(fitted.transform({name: scores[1::2]})[name]) < 0.03


@modest
@given(columns, st.integers(1, 50))
def test_increasing_and_invertible(column, bins):
    scores = {"m": column}
    fitted = HistogramEqualization.fit(scores, bins=bins)
    ordered = np.unique(column)
    targets = fitted.transform({"m": ordered})["m"]
    assert ((targets >= 0) & (targets <= 1)).all()
    if ordered.size == 1:
        assert targets[0] == 0.5
    else:
        assert (targets[0], targets[-1]) == (0.0, 1.0)
        assert (np.diff(targets) > 0).all()
    width = ordered[-1] - ordered[0]
    between = np.linspace(ordered[0], ordered[-1], 101)
    for values in (ordered, between):
        back = fitted.inverse(fitted.transform({"m": values}))["m"]
        np.testing.assert_allclose(back, values, rtol=0, atol=1e-6 * width)
    assert (np.diff(fitted.transform({"m": between})["m"]) >= 0).all()


@modest
@given(columns, st.randoms(use_true_random=False))
def test_the_fit_depends_only_on_which_scores_there_are(column, random):
    shuffled = list(column)
    random.shuffle(shuffled)
    cut = random.randint(0, len(column))
    shards = np.concatenate([shuffled[cut:], shuffled[:cut]])
    expected = HistogramEqualization.fit({"m": column}, bins=9)
    assert HistogramEqualization.fit({"m": shards}, bins=9) == expected


def test_the_sign_of_zero_does_not_matter():
    first, second = ([0.0, -0.0, 1.0], [-0.0, 0.0, 1.0])
    texts = {HistogramEqualization.fit({"m": each}).to_json() for each in (first, second)}
    assert len(texts) == 1


@modest
@given(st.dictionaries(st.text(min_size=1, max_size=8), columns, min_size=1, max_size=4))
def test_json_gives_back_an_equal_object(scores):
    fitted = HistogramEqualization.fit(scores)
    assert HistogramEqualization.from_json(fitted.to_json()) == fitted
    assert fitted.names == tuple(scores)
    assert pickle.loads(pickle.dumps(fitted)) == fitted


def test_scores_outside_the_fitted_range_are_clipped():
    fitted = HistogramEqualization.fit({"m": [0.2, 0.4, 0.8]})
    np.testing.assert_array_equal(fitted.transform({"m": [-9, 0.1, 0.9, 9]})["m"], [0, 0, 1, 1])
    np.testing.assert_array_equal(fitted.inverse({"m": [-1.0, 2.0]})["m"], [0.2, 0.8])


def test_ties_share_the_middle_of_their_ranks():
    fitted = HistogramEqualization.fit({"m": [1, 2, 2, 2, 3]})
    np.testing.assert_allclose(fitted.transform({"m": [1, 2, 3]})["m"], [0, 0.5, 1])


def test_a_constant_score_becomes_the_middle_and_comes_back():
    fitted = HistogramEqualization.fit({"m": np.full(9, 0.7)})
    np.testing.assert_array_equal(fitted.transform({"m": [0.0, 0.7]})["m"], 0.5)
    np.testing.assert_array_equal(fitted.inverse({"m": [0.0, 0.5]})["m"], 0.7)


def test_shapes_and_subsets_of_the_metrics():
    fitted = HistogramEqualization.fit({"a": np.arange(6.0).reshape(2, 3), "b": [0, 1]})
    targets = fitted.transform({"b": np.zeros((4, 1)), "a": 5})
    assert {name: each.shape for name, each in targets.items()} == {"b": (4, 1), "a": ()}
    assert all(each.dtype == np.float64 for each in targets.values())
    assert fitted.transform({"a": []})["a"].shape == (0,)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "no scores to fit"),
        ({"vsi": []}, "vsi: there are no scores"),
        ({"ok": [1.0], "vsi": [0.1, np.nan]}, "vsi: 1 of 2 scores are NaN or infinite"),
        ({"vsi": [np.inf]}, "vsi: 1 of 1"),
        ({"vsi": ["high"]}, "vsi: scores must be real numbers"),
        ({"vsi": [1j]}, "vsi: scores must be real numbers"),
    ],
)
def test_scores_that_cannot_be_fitted(scores, message):
    with pytest.raises(ValueError, match=message):
        HistogramEqualization.fit(scores)


@pytest.mark.parametrize("bins", [0, -1, 2.5, True, None])
def test_impossible_bins(bins):
    with pytest.raises(ValueError, match="bins must be an integer of at least 1"):
        HistogramEqualization.fit({"m": [1, 2]}, bins=bins)


def test_scores_that_cannot_be_transformed():
    fitted = HistogramEqualization.fit({"m": [1, 2]})
    with pytest.raises(ValueError, match="vsi was not fitted; fitted are m"):
        fitted.transform({"vsi": [1]})
    with pytest.raises(ValueError, match="m: 1 of 1 scores are NaN"):
        fitted.transform({"m": [np.nan]})
    with pytest.raises(ValueError, match="vsi was not fitted"):
        fitted.inverse({"vsi": [1]})


def test_it_is_frozen():
    fitted = HistogramEqualization.fit({"m": [1, 2]})
    with pytest.raises(FrozenInstanceError):
        fitted.curves = ()


def spoiled(**changes):
    content = json.loads(HistogramEqualization.fit({"m": [1, 2, 4]}).to_json())
    return json.dumps({key: value for key, value in (content | changes).items() if value != "gone"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "3",
        "{}",
        spoiled(format="other"),
        spoiled(version=2),
        spoiled(version="gone"),
        spoiled(extra=1),
        spoiled(curves="gone"),
        spoiled(curves={}),
        spoiled(curves=[1]),
        spoiled(curves={"m": [1]}),
        spoiled(curves={"m": {"scores": [1, 2]}}),
        spoiled(curves={"m": {"scores": [1, 2], "targets": [0, 1], "more": 1}}),
        spoiled(curves={"m": {"scores": [1, 2], "targets": [0]}}),
        spoiled(curves={"m": {"scores": [], "targets": []}}),
        spoiled(curves={"m": {"scores": [2, 1], "targets": [0, 1]}}),
        spoiled(curves={"m": {"scores": [1, 1], "targets": [0, 1]}}),
        spoiled(curves={"m": {"scores": [1, 2, 3], "targets": [0, 0, 1]}}),
        spoiled(curves={"m": {"scores": [1, 2], "targets": [0, 2]}}),
        spoiled(curves={"m": {"scores": [1], "targets": [1]}}),
        spoiled(curves={"m": {"scores": ["1", 2], "targets": [0, 1]}}),
        spoiled(curves={"m": {"scores": [True, 2], "targets": [0, 1]}}),
        spoiled(curves={"m": {"scores": [1, float("inf")], "targets": [0, 1]}}),
        spoiled(curves={"m": {"scores": [1, float("nan")], "targets": [0, 1]}}),
    ],
)
def test_from_json_refuses_what_it_did_not_write(text):
    with pytest.raises(ValueError):
        HistogramEqualization.from_json(text)


@modest
@given(columns, st.integers(1, 5), st.randoms(use_true_random=False))
def test_histograms_of_shards_merge_in_any_order(column, shards, random):
    parts = [np.unique(column[k::shards], return_counts=True) for k in range(shards)]
    parts = [part for part in parts if part[0].size]
    random.shuffle(parts)
    scores, counts = (np.concatenate(each) for each in zip(*parts, strict=True))
    merged = HistogramEqualization.fit({"m": scores}, counts={"m": counts})
    assert merged == HistogramEqualization.fit({"m": column})


def test_scores_that_occur_never_do_not_count():
    fitted = HistogramEqualization.fit({"m": [1.0, 2.0, 9.0]}, counts={"m": [3, 1, 0]})
    assert fitted == HistogramEqualization.fit({"m": [1.0, 1.0, 1.0, 2.0]})


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"other": [1, 1]}, "same metrics"),
        ({"m": [1]}, r"counts of shape \(1,\) for scores of shape \(2,\)"),
        ({"m": [1.0, 2.0]}, "whole numbers"),
        ({"m": [1, -1]}, "whole numbers"),
        ({"m": [0, 0]}, "no scores"),
    ],
)
def test_bad_counts(counts, words):
    with pytest.raises(ValueError, match=words):
        HistogramEqualization.fit({"m": [0.1, 0.2]}, counts=counts)
