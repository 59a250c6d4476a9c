"""Weights by the frequency of scores, and classes, against counts made by other means."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtl.training.opinions.balancing import (
    SEGMENTS,
    class_centres,
    class_weights,
    proportion_weights,
    segment_weights,
    segments_of,
)

scores_of_some = arrays(np.float64, st.integers(2, 80), elements=st.integers(0, 100)).filter(
    lambda s: np.ptp(s) > 0
)


def test_the_classes_are_deepbiqs():
    edges = [0, 20, 20.5, 40, 41, 60, 60.1, 80, 80.1, 100]
    assert segments_of(np.array(edges), 0, 100, 5).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert segments_of(np.array([-5.0, 105.0]), 0, 100, 5).tolist() == [0, 4]
    assert class_centres(0, 100).tolist() == [10, 30, 50, 70, 90]
    for lowest, highest in ((1.0, 1.0), (2.0, 1.0), (0.0, float("nan"))):
        with pytest.raises(ValueError, match="the range is empty"):
            segments_of(np.array([1.0]), lowest, highest, 5)


@given(st.integers(1, 20), st.integers(0, 20))
def test_every_edge_belongs_to_the_segment_below(segments, edge):
    edge = min(edge, segments)
    score = np.array([100 * edge / segments])
    if float(score[0]) * segments / 100 == edge:  # not where the edge itself is rounded
        assert segments_of(score, 0, 100, segments)[0] == max(0, edge - 1)


@given(scores_of_some)
def test_weights_are_the_inverse_proportions_of_the_segments(scores):
    weights = proportion_weights(scores)
    edges = np.linspace(scores.min(), scores.max(), SEGMENTS + 1)
    width = edges[1] - edges[0]
    inner = np.abs((scores - edges[0]) / width - np.rint((scores - edges[0]) / width)) > 1e-9
    place = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, SEGMENTS - 1)
    ours = segments_of(scores, edges[0], edges[-1], SEGMENTS)
    assert np.array_equal(place[inner], ours[inner])
    share = np.array([np.mean(ours == k) for k in ours])
    np.testing.assert_allclose(weights, 1 / (share + 1e-6), rtol=1e-12)
    # Every segment that holds pictures has the same weight in all.
    sums = [weights[ours == k].sum() / len(scores) for k in np.unique(ours)]
    np.testing.assert_allclose(sums, 1, rtol=1e-3)


def test_a_compiled_program_finds_the_same_weights():
    scores = np.random.default_rng(0).integers(0, 101, 200).astype(np.float32)
    table = segment_weights(scores, 0.0, 100.0)
    np.testing.assert_allclose(jax.jit(lambda s: table(s))(scores), table(scores), rtol=1e-6)


def test_a_class_weighs_the_largest_over_itself():
    classes = np.array([0] * 2 + [1] * 8 + [2] * 16 + [4] * 1)
    assert class_weights(classes).tolist() == [8, 2, 1, 1, 16]
