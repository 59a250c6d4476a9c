"""SROCC against the size of the training set: nested parts, the fitted curve, its bounds."""

import csv
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsp.evaluation.benchmarking import Method, Rated, random_splits
from mlsp.evaluation.learning_curve import (
    Curve,
    even_sizes,
    extrapolate,
    fit_curve,
    learning_curve,
    nested_splits,
    write_learning_curves,
)
from mlsp.regression import SVRSettings
from mtl.evaluation.splits import Split, split_by_group
from mtl.runtime.files import InputError

# KonIQ-10k, table 4: mean and deviation of the SROCC over the splits, at 1,000 ... 7,000 pictures.
SIZES = np.arange(1000.0, 7001.0, 1000.0)
KONIQ = np.array([0.831, 0.871, 0.889, 0.899, 0.908, 0.912, 0.915])
KONIQ_SD = np.array([0.013, 0.010, 0.013, 0.007, 0.005, 0.007, 0.006])
LIVE = np.array([0.757, 0.791, 0.804, 0.813, 0.818, 0.822, 0.827])


def test_the_papers_table_leads_to_the_papers_extrapolations():
    """Section 6.2.3: 0.965 on KonIQ-10k and 0.895 on LIVE in the Wild at 100,000 pictures."""
    koniq, live = fit_curve(SIZES, KONIQ), fit_curve(SIZES, LIVE)
    assert koniq(np.array([1e5]))[0] == pytest.approx(0.965, abs=0.0015)
    assert live(np.array([1e5]))[0] == pytest.approx(0.895, abs=0.0015)
    assert koniq.b < 0 < live.b


@settings(deadline=None, max_examples=40)
@given(st.floats(0.05, 0.6), st.floats(-0.9, 5))
def test_a_curve_without_noise_is_found_again(a, share):
    x = np.array([50.0, 100, 200, 400, 800])
    b = share * 50**a if share < 0 else share
    truth = Curve(a, max(b, 0.6 - 50**a))
    found = fit_curve(x, truth(x))
    np.testing.assert_allclose(found(x), truth(x), atol=1e-6)
    np.testing.assert_allclose(found(10 * x), truth(10 * x), atol=1e-3)


def test_curves_that_do_not_rise_are_flat_and_odd_points_are_left_out():
    x = np.array([10.0, 20, 30, 40])
    falling = fit_curve(x, np.array([0.8, 0.7, 0.6, 0.5]))
    np.testing.assert_allclose(falling(x), 0.65, atol=0.001)
    perfect = fit_curve(x, np.ones(4))
    np.testing.assert_allclose(perfect(x), 1, atol=1e-4)
    assert np.isfinite(fit_curve(x, np.array([-0.2, -0.1, 0, 0.3]))(x)).all()
    with_hole = fit_curve(x, np.array([0.5, np.nan, 0.6, 0.7]))
    whole = fit_curve(x[[0, 2, 3]], np.array([0.5, 0.6, 0.7]))
    assert with_hole == whole
    for sizes, srocc in (([5, 5], [0.5, 0.6]), ([5, 6], [0.5, np.nan]), ([0.5, 6], [0.5, 0.6])):
        with pytest.raises(ValueError, match="two or more sizes, none below 1"):
            fit_curve(np.array(sizes), np.array(srocc))


def noisy(rng, repetitions: int) -> list[dict]:
    return [
        {"method": "m", "size": int(x), "training": int(x), "repetition": k, "srocc": float(y)}
        for k in range(repetitions)
        for x, y in zip(SIZES, KONIQ + KONIQ_SD * rng.normal(size=7), strict=True)
    ]


def test_bounds_cover_the_curve_and_one_more_repetition_at_their_rate():
    truth = fit_curve(SIZES, KONIQ)
    at = np.array([7000.0, 20000.0])
    curve_hits, observed_hits = [], []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        rows = [
            row | {"srocc": float(truth(np.array([row["training"]]))[0] + 0.009 * rng.normal())}
            for row in noisy(rng, 20)
        ]
        _, bounds = extrapolate(rows, at, rng, number=80)
        assert (bounds.observed_low <= bounds.low).all() and (bounds.low <= bounds.high).all()
        curve_hits.append((bounds.low <= truth(at)) & (truth(at) <= bounds.high))
        more = truth(at) + 0.009 * rng.normal(size=(40, 2))
        observed_hits.append((bounds.observed_low <= more) & (more <= bounds.observed_high))
    assert np.mean(curve_hits) >= 0.85
    assert 0.90 <= np.mean(observed_hits) <= 0.99
    with pytest.raises(ValueError, match="size 999 is below 1000"):
        extrapolate(noisy(np.random.default_rng(0), 2), np.array([999.0]), rng, number=2)


def test_bounds_are_percentiles_of_resampled_repetitions():
    at, rng = np.array([1000.0, 20000.0]), np.random.default_rng(1)
    rows = noisy(np.random.default_rng(0), 5)
    curve, bounds = extrapolate(rows, at, np.random.default_rng(1), number=40)
    drawn = []
    for _ in range(40):
        own = [row for k in rng.integers(5, size=5) for row in rows if row["repetition"] == k]
        x, y = (np.array([row[name] for row in own], float) for name in ("training", "srocc"))
        drawn.append(fit_curve(x, y, start=curve)(at))
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    np.testing.assert_allclose((bounds.low, bounds.high), (low, high), rtol=1e-12)


def test_one_repetition_has_the_bounds_of_its_curve():
    at = np.array([1000.0, 20000.0])
    rows = noisy(np.random.default_rng(0), 1)
    _, bounds = extrapolate(rows, at, np.random.default_rng(0), number=20)
    np.testing.assert_allclose(bounds.low, bounds.srocc, rtol=1e-6)
    np.testing.assert_allclose(bounds.high, bounds.srocc, rtol=1e-6)
    assert (bounds.observed_low < bounds.srocc).all()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 12), min_size=30, max_size=60), st.integers(0, 9))
def test_parts_are_nested_whole_by_reference_and_reach_their_size(groups, seed):
    references = [f"r{k}" for k in groups]
    if len(set(references)) < 4:
        return
    split = split_by_group(references, seed=seed, repetition=0)
    sizes = even_sizes([split], 4)
    parts = nested_splits(split, references, sizes, seed=seed, repetition=0)
    inside: set[int] = set()
    for size, part in zip(sizes, parts, strict=True):
        rows = set(part.train.tolist())
        assert inside <= rows <= set(split.train.tolist()) and len(rows) >= size
        held = {references[row] for row in rows}
        assert rows == {row for row in split.train.tolist() if references[row] in held}
        # Without the reference that enters last it would be too small.
        assert min(len(rows) - sum(references[r] == name for r in rows) for name in held) < size
        assert part.validation is split.validation and part.test is split.test
        inside = rows
    assert inside == set(split.train.tolist())
    again = nested_splits(split, references, sizes, seed=seed, repetition=0)
    assert all((a.train == b.train).all() for a, b in zip(parts, again, strict=True))


def test_sizes_that_cannot_be_are_refused():
    split = Split(np.arange(10), np.arange(10, 12), np.arange(12, 14))
    names = [str(k) for k in range(14)]
    for sizes, problem in (((5, 3), "must rise"), ((1, 3), "within 2..10"), ((5, 11), "2..10")):
        with pytest.raises(ValueError, match=problem):
            nested_splits(split, names, sizes, seed=0, repetition=0)
    rated = Rated(np.arange(14.0))
    method = Method("m", np.zeros((14, 2), np.float32), SVRSettings())
    for sizes, problem in (
        ((4,), "give two or more different sizes"),
        ((4, 4), "give two or more different sizes"),
        ((4, 11), "from 2 to the 10 pictures of the smallest training part"),
    ):
        with pytest.raises(InputError, match=problem):
            learning_curve([method], rated, names, [split], sizes)


def test_more_pictures_help_and_everything_is_written(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(240, 12)).astype(np.float32)
    scores = features @ np.linspace(0.2, 1, 12) + 0.5 * rng.normal(size=240)
    references = [f"r{k // 2}" for k in range(240)]
    splits = random_splits(references, 3, seed=0)
    method = Method("svr", features, SVRSettings())
    sizes = (10, 30, 70, 144)
    rows = learning_curve([method], Rated(scores), references, splits, sizes, seed=0)
    assert [(row["size"], row["repetition"]) for row in rows] == [
        (size, k) for size in sizes for k in range(3)
    ]
    assert all(int(row["training"]) - int(row["size"]) in (0, 1) for row in rows)
    means = [np.mean([row["srocc"] for row in rows if row["size"] == size]) for size in sizes]
    assert means[0] + 0.1 < means[-1] and means[-1] > 0.85

    curves = write_learning_curves(tmp_path, rows, extrapolated_to=5000)
    found = json.loads((tmp_path / "learning_curve.json").read_text())
    assert found == {"svr": {"a": curves["svr"].a, "b": curves["svr"].b}}
    with (tmp_path / "learning_curve_extrapolated.csv").open() as file:
        table = list(csv.DictReader(file))
    assert float(table[-1]["size"]) == 5000
    last = [float(table[-1][k]) for k in ("observed_low", "low", "srocc", "high", "observed_high")]
    assert last == sorted(last) and last[2] > means[-1]
    picture = cv2.imread(str(tmp_path / "learning_curve.png"))
    assert picture is not None
    with (tmp_path / "learning_curve.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 12


def test_points_without_a_correlation_cost_no_curve(tmp_path, capsys):
    def row(method: str, size: int, repetition: int, srocc: float) -> dict:
        known = {"method": method, "size": size, "training": size}
        return known | {"repetition": repetition, "srocc": srocc}

    rows = [row("good", n, k, 1 - 2 / n) for n in (10, 20, 40) for k in range(3)]
    failed = [r | {"method": "some", "srocc": np.nan if r["repetition"] == 1 else r["srocc"]}
              for r in rows]  # fmt: skip
    blind = [r | {"method": "blind", "srocc": np.nan} for r in rows]
    curves = write_learning_curves(tmp_path, [*rows, *failed, *blind], progress=True)
    assert set(curves) == {"good", "some"}
    assert curves["some"](np.array([30.0])) == pytest.approx(curves["good"](np.array([30.0])))
    said = capsys.readouterr().err
    assert "some: 3 of 9 points have no correlation" in said
    assert "blind: no learning curve" in said
    assert write_learning_curves(tmp_path, blind) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["learning_curve.csv"]  # no old picture
