"""The opposing split of KonIQ-10k-LT, on the published scores and on others."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlsp.evaluation.imbalance import BINS, ScoreScale, gap, opposing_split, training_shares
from mtl.evaluation.splits import VALIDATION_SHARE
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table
from mtl.training.opinions.balancing import proportion_weights

KONIQ = Path(
    os.environ.get("DEEPFL_KONIQ_TABLE")
    or Path(__file__).resolve().parents[4] / "shared" / "data" / "koniq10k_distributions_sets.csv"
)


@pytest.fixture(scope="module")
def koniq():
    if not KONIQ.is_file():
        pytest.skip(f"KonIQ-10k's published table is not at {KONIQ}")
    return np.array([float(row["MOS"]) for row in read_table(KONIQ, ("MOS",))])


def test_the_published_scores_are_split_against_each_other(koniq):
    split = opposing_split(koniq, seed=0)
    known = np.concatenate([split.train, split.validation])
    assert np.array_equal(np.sort(np.concatenate([known, split.test])), np.arange(len(koniq)))
    # By other means: bins of width 5, an edge in the bin below.
    numbers, _ = np.histogram(100 - koniq, np.arange(0, 101, 5))
    trained, _ = np.histogram(100 - koniq[known], np.arange(0, 101, 5))
    validated, _ = np.histogram(100 - koniq[split.validation], np.arange(0, 101, 5))
    numbers, trained, validated = numbers[::-1], trained[::-1], validated[::-1]
    assert numbers.sum() == len(koniq) and (numbers > 0).sum() == 18
    wanted = 0.1 + 0.8 * np.arange(20) / 19
    assert np.abs(trained - wanted * numbers).max() <= 0.5 + 1e-6
    assert np.abs(validated - VALIDATION_SHARE * trained).max() <= 0.5 + 1e-6
    # The distributions oppose each other: the training part's scores are the higher ones.
    assert koniq[split.train].mean() > koniq[split.test].mean() + 5
    assert koniq[split.validation].mean() == pytest.approx(koniq[split.train].mean(), abs=0.5)
    again = opposing_split(koniq, seed=0)
    assert all(np.array_equal(getattr(split, p), getattr(again, p)) for p in vars(split))
    other = opposing_split(koniq, seed=0, repetition=1)
    assert not np.array_equal(split.test, other.test) and len(split.test) == len(other.test)


def test_weights_even_out_the_published_training_scores(koniq):
    scores = koniq[opposing_split(koniq, seed=0).train]
    weights = proportion_weights(scores)
    edges = np.linspace(scores.min(), scores.max(), 21)
    plain, _ = np.histogram(scores, edges)
    even, _ = np.histogram(scores, edges, weights=weights)
    assert plain.max() > 100 * plain.min()
    assert even[plain > 0].max() < 1.15 * even[plain > 0].min()  # edges apart


@given(
    arrays(np.float64, st.integers(60, 200), elements=st.integers(0, 100)),
    st.integers(0, 2**32),
    st.floats(0, 1),
)
def test_every_picture_is_in_one_part_and_the_shares_are_kept(scores, seed, validation):
    try:
        split = opposing_split(scores, seed=seed, validation=validation)
    except InputError as error:
        assert "a part would be empty" in str(error)
        return
    parts = [split.train, split.validation, split.test]
    assert sorted(np.concatenate(parts)) == list(range(len(scores)))
    place = np.maximum(np.ceil(scores / 5).astype(int) - 1, 0)
    for number, share in enumerate(training_shares()):
        inside = np.flatnonzero(place == number)
        trained = len(np.intersect1d(inside, np.concatenate(parts[:2])))
        assert abs(trained - share * len(inside)) <= 0.5 + 1e-6


def test_the_shares_rise_from_a_tenth_to_nine_tenths():
    shares = training_shares()
    assert len(shares) == BINS == 20
    assert shares[0] == 0.1 and shares[-1] == 0.9
    np.testing.assert_allclose(np.diff(shares), 0.8 / 19)


def test_other_scales_are_split_alike():
    scores = np.random.default_rng(0).uniform(0, 100, 500)
    one = opposing_split(scores, seed=1)
    two = opposing_split(scores / 25 + 1, seed=1, scale=ScoreScale(1, 5))
    assert np.array_equal(one.test, two.test)


def test_what_cannot_be_split_is_said():
    scores = np.linspace(0, 100, 50)
    with pytest.raises(InputError, match=r"scores of 0\.\.100 are not all within 1\.\.5"):
        opposing_split(scores, seed=0, scale=ScoreScale(1, 5))
    with pytest.raises(InputError, match="those of one reference"):
        opposing_split(scores, seed=0, references=[f"{k // 2}" for k in range(50)])
    with pytest.raises(InputError, match="a part would be empty"):
        opposing_split(scores[:1], seed=0)
    with pytest.raises(InputError, match="not all within"):
        opposing_split(np.where(scores > 50, np.nan, scores), seed=0)
    with pytest.raises(ValueError, match="share of validation"):
        opposing_split(scores, seed=0, validation=1.5)


# Tables I and II of the paper: PLCC and SRCC on KonIQ-10k, on KonIQ-10k-LT, and the gap.
PRINTED = {
    "VGG-16": (0.890, 0.860, 0.835, 0.777, 0.055, 0.083),
    "ResNet-50": (0.895, 0.871, 0.831, 0.771, 0.064, 0.100),
    "DBCNN-PWB": (0.915, 0.891, 0.876, 0.836, 0.039, 0.055),
    "MANIQA-PWB": (0.944, 0.930, 0.910, 0.871, 0.034, 0.059),
}


@pytest.mark.parametrize("method", PRINTED)
def test_the_gap_is_the_papers(method):
    a, b, c, d, plcc, srcc = PRINTED[method]
    found = gap({"plcc": a, "srocc": b}, {"plcc": c, "srocc": d})
    assert found == pytest.approx({"plcc": plcc, "srocc": srcc}, abs=1e-9)
    with pytest.raises(ValueError, match="different measures"):
        gap({"plcc": a}, {"srocc": b})
