"""Reliability: estimates against known truths, intervals at their rate."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.evaluation.correlation import plcc, srocc
from mtl.ratings.groups import compare_groups, crossing
from mtl.ratings.reliability import Estimate, against_experts, intra_class
from mtl.ratings.resampling import interval, resamples, weighted_plcc, weighted_srocc
from mtl.ratings.scores import Votes

KONIQ = Path(
    os.environ.get("DEEPFL_KONIQ_TABLE")
    or Path(__file__).resolve().parents[4] / "shared" / "data" / "koniq10k_distributions_sets.csv"
)


def covers(found: Estimate, truth: float) -> bool:
    return found.low <= truth <= found.high


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=12),
    st.integers(0, 1000),
)
def test_correlations_of_resamples_are_those_of_the_images_drawn(pairs, seed):
    x, y = (np.array(column, float) for column in zip(*pairs, strict=True))
    weights = resamples(len(x), 5, np.random.default_rng(seed))
    assert (weights.sum(axis=1) == len(x)).all()
    ranks, linear = weighted_srocc(x, y, weights), weighted_plcc(x, y, weights)
    for k, row in enumerate(weights):
        drawn = np.repeat(np.arange(len(x)), row)
        if np.ptp(x[drawn]) > 0 and np.ptp(y[drawn]) > 0:
            assert ranks[k] == pytest.approx(srocc(x[drawn], y[drawn]), abs=1e-12)
            assert linear[k] == pytest.approx(plcc(x[drawn], y[drawn]), abs=1e-12)
        else:
            assert np.isnan(ranks[k])


def test_intervals_of_samples_that_are_no_numbers():
    assert interval(np.array([np.nan, np.nan])) == pytest.approx((np.nan, np.nan), nan_ok=True)
    samples = np.append(np.arange(95.0), [np.inf] * 5)
    assert interval(samples) == (2, np.inf)


def test_intra_class_correlation_of_shrout_and_fleiss():
    """Six targets, four judges: doi:10.1037/0033-2909.86.2.420, tables 2 and 4."""
    table = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    )
    image = np.repeat(np.arange(6), 4)
    found = intra_class(table.ravel().astype(float), image, 6, np.random.default_rng(0))
    assert round(found.single.value, 2) == 0.17 and round(found.mean.value, 2) == 0.44
    assert found.ratings == pytest.approx(4)
    scaled = intra_class(100 - 7.0 * table.ravel(), image + 1, 8, np.random.default_rng(0))
    assert scaled.single.value == pytest.approx(found.single.value)


@pytest.mark.skipif(not KONIQ.is_file(), reason="KonIQ-10k's published table is not there")
def test_intra_class_correlation_of_koniq10k_is_near_its_published_one():
    """0.46 in section 4.3, of ratings that may have been rescaled; the counts are not."""
    with KONIQ.open() as file:
        rows = list(csv.DictReader(file))
    shares = np.array([[float(row[f"c{k}"]) for k in range(1, 6)] for row in rows])
    counts = np.rint(shares * np.array([[float(row["c_total"])] for row in rows])).astype(int)
    image = np.repeat(np.arange(len(rows)), counts.sum(axis=1))
    value = np.repeat(np.tile(np.arange(1.0, 6.0), len(rows)), counts.ravel())
    found = intra_class(value, image, len(rows), np.random.default_rng(0), number=20)
    assert found.single.value == pytest.approx(0.46, abs=0.02)


def test_intervals_of_the_intra_class_correlation_cover_the_truth_with_unequal_numbers():
    truth, covered, values = 0.46, [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n = rng.integers(3, 15, 100)
        image = np.repeat(np.arange(100), n)
        noise = np.sqrt((1 - truth) / truth)
        value = rng.normal(size=100)[image] + noise * rng.normal(size=len(image))
        found = intra_class(value, image, 100, rng, number=200).single
        covered.append(covers(found, truth))
        values.append(found.value)
    assert np.mean(values) == pytest.approx(truth, abs=0.01)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_too_little_for_an_intra_class_correlation_is_no_number():
    rng = np.random.default_rng(0)
    for value, image in (([1.0, 2.0], [0, 0]), ([1.0, 2.0], [0, 1]), ([3.0] * 4, [0, 0, 1, 1])):
        assert np.isnan(intra_class(np.array(value), np.array(image), 2, rng).single.value)


def test_experts_line_and_intervals_cover_the_truth():
    slope, offset, noise = 1.12, -10.43, 11.35  # section 4.2
    hits = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        crowd = rng.normal(58, 15, 187)
        experts = slope * crowd + offset + rng.normal(0, noise, 187)
        found = against_experts(crowd, experts, rng, number=200)
        spread = slope * 15
        hits.append(
            (
                covers(found.plcc, spread / np.hypot(spread, noise)),
                covers(found.rmse, noise),
                found.slope,
                found.offset,
            )
        )
    plcc_rate, rmse_rate, slopes, offsets = np.mean(hits, axis=0)
    assert 0.89 <= plcc_rate <= 0.99 and 0.87 <= rmse_rate <= 0.99
    assert slopes == pytest.approx(slope, abs=0.02) and offsets == pytest.approx(offset, abs=1)
    assert found.rmse.value == pytest.approx(
        np.sqrt(np.mean((found.slope * crowd + found.offset - experts) ** 2))
    )
    assert found.srocc.value == pytest.approx(srocc(crowd, experts)) and found.images == 187
    with pytest.raises(ValueError, match="three or more pairs are needed"):
        against_experts(crowd[:2], experts[:2], rng)
    with pytest.raises(ValueError, match="there is no line"):
        against_experts(crowd, np.ones(187), rng)


def complete(rng: np.random.Generator, raters: int, images: int, noise: float):
    """Everybody rates everything; the truth and the votes."""
    truth = rng.normal(size=images)
    value = truth + noise * rng.normal(size=(raters, images))
    rater, image = (index.ravel() for index in np.indices(value.shape))
    return truth, Votes(raters, images, rater, image, value.ravel(), np.ones(value.size, int))


def normal_srocc(noise: float, first: float, second: float) -> float:
    """Of means of so many votes each: 6 / pi asin(rho / 2) of normal variables."""
    rho = 1 / np.sqrt((1 + noise**2 / first) * (1 + noise**2 / second))
    return 6 / np.pi * np.arcsin(rho / 2)


def test_groups_and_what_a_model_is_worth_cover_the_truth():
    """A model that errs as the mean of five raters is worth five."""
    noise, worth, raters, images = 1.1, 5, 32, 150
    hits, values = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        truth, votes = complete(rng, raters, images, noise)
        predicted = 3 * (truth + noise / np.sqrt(worth) * rng.normal(size=images)) + 50
        groups, model = compare_groups(votes, rng, predicted=predicted, repetitions=20)
        assert model is not None
        hits.append(
            (
                covers(groups.halves, normal_srocc(noise, raters / 2, raters / 2)),
                covers(model.srocc, normal_srocc(noise, raters / 2, worth)),
                covers(model.votes, worth),
            )
        )
        values.append(model.votes.value)
    assert groups.raters[0] == 1 and groups.raters[-1] == 16
    np.testing.assert_allclose(groups.votes, groups.raters)
    assert (np.diff(groups.srocc) > 0).all()
    expected = [normal_srocc(noise, raters / 2, n) for n in groups.raters]
    np.testing.assert_allclose(groups.srocc, expected, atol=0.08)
    assert np.median(values) == pytest.approx(worth, rel=0.1)
    halves, srocc_rate, votes_rate = np.mean(hits, axis=0)
    assert halves >= 0.85 and srocc_rate >= 0.85 and votes_rate >= 0.88


def test_a_model_beyond_the_groups_is_said_to_be():
    rng = np.random.default_rng(0)
    truth, votes = complete(rng, 12, 80, 1.0)
    _, best = compare_groups(votes, rng, predicted=truth, repetitions=20)
    assert best is not None and best.votes.value == best.votes.high == np.inf
    _, worst = compare_groups(votes, rng, predicted=-truth, repetitions=20)
    assert worst is not None and worst.votes.value == worst.votes.high == 0
    with pytest.raises(ValueError, match="at least 4, 3 and 20 are needed"):
        compare_groups(complete(rng, 3, 80, 1.0)[1], rng)


def test_groups_without_a_vote_on_some_images_compare_the_others():
    rng = np.random.default_rng(0)
    _, votes = complete(rng, 40, 60, 1.0)
    some = rng.random(len(votes.rater)) < 0.05
    thin = Votes(40, 60, votes.rater[some], votes.image[some], votes.value[some], votes.score[some])
    groups, _ = compare_groups(thin, rng, repetitions=20)
    assert np.isfinite(groups.srocc).all() and (groups.votes >= 1).all()


def test_crossings():
    n, rising = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.7, 0.8])
    assert crossing(n, rising, 0.5) == 1 and crossing(n, rising, 0.75) == pytest.approx(2**1.5)
    assert crossing(n, rising, 0.4) == 0 and crossing(n, rising, 0.8) == np.inf
    assert crossing(n, np.array([0.5, 0.7, 0.6]), 0.6) == pytest.approx(2**0.5)
    assert np.isnan(crossing(n, rising, np.nan))
    assert crossing(n, np.array([0.5, np.nan, 0.8]), 0.65) == pytest.approx(2)
