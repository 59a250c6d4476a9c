"""Regressors, splits and the benchmark, on features with a known relation to the score."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.svm import SVR

from mlsp.evaluation.benchmark_results import Judged, write_results
from mlsp.evaluation.benchmarking import Method, Task, benchmark, fit_for_use
from mlsp.evaluation.measures import MEASURES, judge
from mlsp.regression import (
    Examples,
    MLPSettings,
    SVRSettings,
    fit,
    load_regressor,
    save_regressor,
)
from mtl.evaluation.splits import split_by_group
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table

SETTINGS = (MLPSettings((1e-2, 1e-3), epochs=12, batch_size=32), SVRSettings((1.0, 10.0)))
# The same kinds, for what does not depend on how well they have learned.
SHORT = (MLPSettings((1e-3,), epochs=2, batch_size=32), SVRSettings((1.0, 10.0)))


@pytest.fixture(scope="module")
def known():
    """300 rows of 12 features of unequal scale, 60 groups, a score that three of them decide."""
    rng = np.random.default_rng(0)
    scale = np.logspace(-2, 2, 12)
    features = (rng.normal(size=(300, 12)) * scale).astype(np.float32)
    scaled = features / scale
    scores = 50 + 10 * (scaled[:, 0] + scaled[:, 5] - scaled[:, 11]) + rng.normal(size=300)
    groups = [f"photo {k // 5}" for k in range(300)]
    return features, scores, groups


@pytest.mark.parametrize("settings", SETTINGS, ids=["mlp", "svr"])
def test_a_known_relation_is_learned_on_groups_never_seen(known, settings):
    features, scores, groups = known
    result = benchmark(features, scores, groups, tasks=[Task(settings, 3)], seed=1)
    (row,) = result.summary
    assert row["srocc_median"] > 0.85 and row["plcc_median"] > 0.85
    assert row["rmse_median"] < 10  # the scores' deviation is 17
    assert len(result.repetitions) == row["repetitions"] == 3


@pytest.mark.parametrize("settings", SHORT, ids=["mlp", "svr"])
def test_the_same_seed_gives_the_same_figures(known, settings):
    features, scores, groups = known
    one, two = (
        benchmark(features, scores, groups, tasks=[Task(settings, 3)], seed=1) for _ in range(2)
    )
    assert one.repetitions == two.repetitions


@pytest.mark.parametrize("settings", SHORT, ids=["mlp", "svr"])
def test_a_saved_regressor_predicts_the_same(known, settings, tmp_path):
    features, scores, groups = known
    regressor = fit_for_use(Method("it", features, settings), scores, groups, seed=0)
    save_regressor(tmp_path / "r.npz", regressor)
    loaded = load_regressor(tmp_path / "r.npz")
    assert np.array_equal(loaded.predict(features), regressor.predict(features))
    assert loaded.chosen == regressor.chosen
    with pytest.raises(ValueError, match=r"\(n, 12\)"):
        loaded.predict(features[:, :11])


def test_the_stored_support_vectors_are_scikit_learns(known):
    features, scores, _ = known
    regressor = fit(
        SVRSettings((10.0,)),
        Examples(features[:90], scores[:90]),
        Examples(features[90:], scores[90:]),
        seed=0,
    )
    standard = regressor.standard
    x, y = standard.features(features), standard.scores(scores)
    machine = SVR(kernel="rbf", C=10.0, gamma=1 / 12, epsilon=0.1).fit(x[:90], y[:90])
    expected = standard.back(machine.predict(x))
    np.testing.assert_allclose(regressor.predict(features), expected, rtol=1e-5)
    np.testing.assert_allclose(x[:90].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(x[:90].std(0), 1, atol=1e-4)


def test_a_damaged_regressor_is_refused(tmp_path):
    with pytest.raises(InputError, match="missing or damaged"):
        load_regressor(tmp_path / "gone.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"bad\.npz: is missing or damaged"):
        load_regressor(tmp_path / "bad.npz")
    (tmp_path / "evil.npz").write_bytes(b"")
    np.savez(tmp_path / "evil.npz", kind=np.array(["x"], object))
    with pytest.raises(InputError, match="missing or damaged"):
        load_regressor(tmp_path / "evil.npz")


@given(
    st.lists(st.integers(0, 12).map(str), min_size=3, max_size=60).filter(
        lambda g: len(set(g)) >= 3
    ),
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_no_group_is_in_two_parts(groups, seed, repetition):
    split = split_by_group(groups, seed=seed, repetition=repetition)
    parts = [split.train, split.validation, split.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
    names = [{groups[i] for i in part} for part in parts]
    assert all(names)
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]


def test_the_split_is_60_20_20_and_does_not_depend_on_the_rows_order():
    groups = [f"{k}" for k in range(50)]
    split = split_by_group(groups, seed=0, repetition=0)
    assert [len(p) for p in (split.train, split.validation, split.test)] == [30, 10, 10]
    turned = split_by_group(groups[::-1], seed=0, repetition=0)
    assert {groups[i] for i in split.test} == {groups[::-1][i] for i in turned.test}
    other = split_by_group(groups, seed=0, repetition=1)
    assert set(split.test) != set(other.test)
    with pytest.raises(ValueError, match="at least 3"):
        split_by_group(["a", "b", "b"], seed=0, repetition=0)


def test_judging_is_scipys():
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=30), rng.integers(0, 5, 30).astype(float)
    measures = judge(p, t)
    assert set(measures) == set(MEASURES)
    assert measures["srocc"] == pytest.approx(scipy.stats.spearmanr(p, t).statistic)
    assert measures["krocc"] == pytest.approx(scipy.stats.kendalltau(p, t).statistic)
    assert measures["rmse"] == pytest.approx(np.sqrt(((p - t) ** 2).mean()))


def test_results_are_written_as_tables(known, tmp_path):
    features, scores, groups = known
    result = benchmark(features, scores, groups, tasks=[Task(SETTINGS[1], 2)])
    names = [f"{k}.png" for k in range(len(scores))]
    write_results(tmp_path, [Judged("own", "random", names, scores, result)])
    assert len(read_table(tmp_path / "repetitions.csv", ("srocc", "chosen"))) == 2
    (row,) = read_table(tmp_path / "summary.csv", ("srocc_median", "srocc_q1", "srocc_q3"))
    values = [float(r["srocc"]) for r in result.repetitions]
    assert float(row["srocc_median"]) == pytest.approx(np.median(values))
    predictions = read_table(tmp_path / "predictions.csv", ("image", "score", "predicted"))
    assert len(predictions) == result.repetitions[0]["test"]
    assert float(predictions[0]["score"]) == scores[names.index(predictions[0]["image"])]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f, s, g: (f, np.full_like(s, 3.0), g), "all scores are 3"),
        (lambda f, s, g: (f, np.where(s > 50, np.nan, s), g), "not finite"),
        (lambda f, s, g: (f, s, ["a", "b"] * 150), "from 2 reference"),
    ],
)
def test_what_cannot_be_benchmarked_is_said(known, change, problem):
    with pytest.raises(InputError, match=problem):
        benchmark(*change(*known), tasks=[Task(SETTINGS[1], 1)])
