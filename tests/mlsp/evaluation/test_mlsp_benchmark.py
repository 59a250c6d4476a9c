"""The benchmark from ratings to tables; the features are colour statistics, quickly described."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mlsp.evaluation.benchmark_config import BenchmarkConfig
from mlsp.evaluation.benchmark_run import run_benchmark
from mlsp.evaluation.benchmarking import Method, Rated, compare_methods, fit_for_use, random_splits
from mlsp.evaluation.measures import judge
from mlsp.prediction.quality_model import Quality, load_quality, save_quality_model
from mlsp.regression import MLPSettings, SVRSettings
from mtl.evaluation.splits import Split
from mtl.runtime.files import InputError

pytestmark = pytest.mark.usefixtures("quick_features")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tables_pictures_and_a_model(rated, tmp_path):
    out = tmp_path / "out"
    config = BenchmarkConfig(
        (rated,), out, (tmp_path / "a", tmp_path / "longer"), ("svr", "svr-linear"), repetitions=3
    )
    (tested,) = run_benchmark(config)
    summary = {row["method"]: row for row in rows_of(out / "summary.csv")}
    assert list(summary)[:5] == [
        "a svr", "a svr-linear", "longer svr", "longer svr-linear", "brisque svr",
    ]  # fmt: skip
    assert {"ssim", "vsi", "sr_sim"} <= summary.keys() and len(summary) == 5 + 11
    assert float(summary["vsi"]["srocc_median"]) > 0.7
    assert summary["vsi"]["rmse_median"] == "" and float(summary["a svr"]["rmse_median"]) > 0
    repetitions = rows_of(out / "repetitions.csv")
    assert len(repetitions) == 16 * 3
    within = [float(r["within_2_sigma"]) for r in repetitions if r["method"] == "a svr"]
    assert all(0 <= share <= 1 for share in within)
    distortions = rows_of(out / "distortions.csv")
    assert {row["distortion"] for row in distortions} == {"gaussian_blur", "jpeg"}
    # Without noise a full-reference metric orders the levels of one blurred photograph.
    assert max(float(r["srocc_median"]) for r in distortions if r["method"] == "gmsd") > 0.9
    # What was predicted leads to the figures that are shown.
    predictions = rows_of(out / "predictions.csv")
    mine = [row for row in predictions if row["method"] == "a svr"]
    found = judge(*(np.array([float(r[c]) for r in mine]) for c in ("predicted", "score")))
    values = [float(r["srocc"]) for r in repetitions if r["method"] == "a svr"]
    assert found["srocc"] == pytest.approx(np.median(values))
    for name in ("scatter-ratings-random.png",):
        assert cv2.imread(str(out / name)).shape[0] > 300
    places = json.loads((out / "benchmark.json").read_text())
    assert places == {"ratings": str(rated.parent)}
    quality = load_quality(out / "model")
    assert quality is not None and quality.ratings == "ratings.csv"
    assert (quality.lowest, quality.highest) == (1.0, 4.3)
    assert len(tested.names) == 60


def test_splits_are_kept_with_a_hash_and_used_again(rated, tmp_path):
    config = BenchmarkConfig(
        (rated,), tmp_path / "one", (tmp_path / "a",), repetitions=3, baselines=False
    )
    (first,) = run_benchmark(config)
    saved = tmp_path / "one" / "splits" / "ratings-random.json"
    again = BenchmarkConfig(
        (rated,), tmp_path / "two", (tmp_path / "a",), repetitions=3, baselines=False, splits=saved,
        seed=9,
    )  # fmt: skip
    (second,) = run_benchmark(again)
    for key, (split, predicted) in first.result.median_tests.items():
        assert np.array_equal(split.test, second.result.median_tests[key][0].test)
        np.testing.assert_allclose(second.result.median_tests[key][1], predicted, rtol=1e-6)
    content = json.loads(saved.read_text())
    content["repetitions"][0] = content["repetitions"][0][::-1]
    saved.write_text(json.dumps(content))
    with pytest.raises(InputError, match="was changed since it was written"):
        run_benchmark(again)


def test_each_database_is_tested_on_the_others(rated, tmp_path):
    other = tmp_path / "other.csv"
    lines = rated.read_text().splitlines()
    root = rated.parent
    moved = [f"{root}/{line.split(',')[0]},{line.split(',')[1]}" for line in lines[1::3]]
    other.write_text("\n".join(["image,score", *moved, ""]))
    out = tmp_path / "out"
    config = BenchmarkConfig((rated, other), out, (tmp_path / "a",), repetitions=2, baselines=False)
    run_benchmark(config)
    cross = rows_of(out / "cross.csv")
    assert [(r["database"], r["tested_on"], r["pictures"]) for r in cross] == [
        ("ratings", "other", "20"),
        ("other", "ratings", "60"),
    ]
    assert all(-1 <= float(r["srocc_median"]) <= 1 for r in cross)
    assert cv2.imread(str(out / "cross.png")) is not None


def test_results_of_an_earlier_run_do_not_stay(rated, tmp_path):
    """One database after two, without distortion types after some, and another model."""
    other = tmp_path / "other.csv"
    lines = [line.split(",") for line in rated.read_text().splitlines()[1:]]
    rows = [f"{rated.parent}/{name},{score},{reference}" for name, score, reference, *_ in lines]
    other.write_text("\n".join(["image,score,reference", *rows, ""]))
    out = tmp_path / "out"
    both = BenchmarkConfig((rated, other), out, (tmp_path / "a",), repetitions=1, baselines=False)
    run_benchmark(both)
    assert {"cross.csv", "cross.png", "distortions.csv"} <= {path.name for path in out.iterdir()}
    (out / "model" / "conditions.npz").write_bytes(b"of the other network")
    run_benchmark(replace(both, ratings=(other,), model=(tmp_path / "longer",)))
    left = {path.name for path in out.iterdir()}
    assert not {"cross.csv", "cross.png", "distortions.csv"} & left
    assert {row["database"] for row in rows_of(out / "summary.csv")} == {"other"}
    assert {path.name for path in (out / "model").iterdir()} == {
        "model.json", "weights.npz", "regressor.npz", "ratings.json", "seen.json",
    }  # fmt: skip


def test_a_kill_leaves_no_mixture_of_two_models(tmp_path, monkeypatch):
    features = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    scores = np.linspace(1, 5, 12)
    groups = [str(k) for k in range(12)]
    regressor = fit_for_use(Method("svr", features, SVRSettings((1.0,))), scores, groups, seed=0)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file in ("model.json", "weights.npz"):
            (tmp_path / name / file).write_text(name)
    out = tmp_path / "model"
    save_quality_model(out, tmp_path / "one", Quality.of(regressor, scores, "ratings.csv"))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", killed)
        with pytest.raises(KeyboardInterrupt):
            save_quality_model(out, tmp_path / "two", Quality.of(regressor, scores, "ratings.csv"))
    assert not (out / "model.json").exists()
    save_quality_model(out, tmp_path / "two", Quality.of(regressor, scores, "ratings.csv"))
    assert (out / "model.json").read_text() == (out / "weights.npz").read_text() == "two"
    # As --model OUT/model does.
    save_quality_model(out, out, Quality.of(regressor, scores + 1, "ratings.csv"))
    assert (out / "model.json").read_text() == "two" and load_quality(out).lowest == 2


def test_opposing_splits_have_a_gap(tmp_path, rated):
    # Each picture its own content, as the protocol asks for.
    alone = tmp_path / "alone.csv"
    lines = rated.read_text().splitlines()[1:]
    rows = [f"{rated.parent}/{','.join(line.split(',')[:2])}" for line in lines]
    alone.write_text("\n".join(["image,score", *rows, ""]))
    out = tmp_path / "out"
    config = BenchmarkConfig(
        (alone,), out, (tmp_path / "a",), protocol=("opposing", "random"), repetitions=2,
        baselines=False, balance=True,
    )  # fmt: skip
    run_benchmark(config)
    random, opposing = rows_of(out / "summary.csv")
    assert (random["protocol"], opposing["protocol"]) == ("random", "opposing")
    assert random["gap_srocc"] == ""
    expected = float(random["srocc_median"]) - float(opposing["srocc_median"])
    assert float(opposing["gap_srocc"]) == pytest.approx(expected)


def test_a_learning_curve_on_request(rated, tmp_path):
    out = tmp_path / "out"
    config = BenchmarkConfig(
        (rated,), out, (tmp_path / "a",), repetitions=3, baselines=False, learning_curve=True
    )
    run_benchmark(config)
    folder = out / "learning_curves" / "ratings-random"
    rows = rows_of(folder / "learning_curve.csv")
    assert {row["method"] for row in rows} == {"a svr"}
    sizes = sorted({int(row["size"]) for row in rows})
    assert len(sizes) >= 3 and len(rows) == 3 * len(sizes)
    assert cv2.imread(str(folder / "learning_curve.png")) is not None


def test_predictions_of_crops_are_pooled(rated, tmp_path):
    out = tmp_path / "out"
    config = BenchmarkConfig(
        (rated,), out, (tmp_path / "a",), repetitions=2, baselines=False, crops=3, crop_size=80,
        pool="none",
    )  # fmt: skip
    (tested,) = run_benchmark(config)
    ((split, predicted),) = tested.result.median_tests.values()
    assert len(predicted) == len(split.test) == 10
    assert not (out / "model").exists()


def test_pictures_that_are_missing_are_left_out(rated, tmp_path, capsys):
    table = rated.parent / "one_missing.csv"
    table.write_text(rated.read_text() + "gone.png,3,gone,gone_too.png,jpeg,1,0.5\n")
    config = BenchmarkConfig((table,), tmp_path / "out", (tmp_path / "a",), repetitions=1)
    (tested,) = run_benchmark(config, progress=True)
    assert len(tested.names) == 60 and "left out: gone.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"repetitions": 0}, "--repetitions"),
        ({"ratings": ()}, "no ratings"),
        ({"model": ()}, "--model: give at least one"),
        ({"regressor": ("svr", "svr")}, "--regressor: give at least one, and none of them twice"),
        ({"protocol": ("official",)}, "has no official split"),
        ({"protocol": ("opposing",)}, "would part those of one reference"),
        ({"splits": Path("s.json"), "protocol": ("opposing",)}, "--splits: is for one database"),
        ({"crops": -1}, "--crops -1"),
        ({"database": "nothing"}, "is no known database"),
    ],
)
def test_settings_that_cannot_be(rated, tmp_path, changes, problem):
    settings = {
        "ratings": (rated,), "model": (tmp_path / "a",), "out": tmp_path / "out",
        "repetitions": 1, "baselines": False,
    }  # fmt: skip
    with pytest.raises(InputError, match=problem):
        run_benchmark(BenchmarkConfig(**(settings | changes)))


def test_methods_share_splits_and_repeat_their_bytes():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(90, 6)).astype(np.float32)
    scores = features[:, 0] + 0.1 * rng.normal(size=90)
    splits = random_splits([str(k) for k in range(90)], 2, seed=3)
    methods = [
        Method("svr", features, SVRSettings((1.0,))),
        Method("mlp", features, MLPSettings((1e-3,), epochs=2)),
        Method("blind", np.zeros((90, 2), np.float32), SVRSettings((1.0,))),
    ]
    one, two = (
        compare_methods(methods, Rated(scores), splits, judges={"it": scores}) for _ in range(2)
    )
    assert one.repetitions == two.repetitions or str(one.repetitions) == str(two.repetitions)
    by_method = {row["method"]: row for row in one.summary}
    assert by_method["it"]["srocc_median"] == 1 and np.isnan(by_method["it"]["rmse_median"])
    assert by_method["svr"]["srocc_median"] > 0.9
    assert np.isnan(by_method["blind"]["srocc_median"])  # constant predictions rank nothing


def test_rows_of_crops_are_those_of_the_pictures():
    features = np.repeat(np.arange(30.0), 2)[:, None].astype(np.float32)
    scores = np.arange(30.0)
    split = Split(np.arange(0, 30, 3), np.arange(1, 30, 3), np.arange(2, 30, 3))
    method = Method("crops", features, SVRSettings((10.0,)), crops=2)
    found = compare_methods([method], Rated(scores), [split])
    alone = Method("alone", features[::2], SVRSettings((10.0,)))
    whole = compare_methods([alone], Rated(scores), [split])
    np.testing.assert_allclose(
        found.median_tests["crops"][1], whole.median_tests["alone"][1], atol=0.7
    )


def test_a_table_with_other_columns_gives_the_same_results(rated, tmp_path, capsys):
    lines = rated.read_text().splitlines()
    renamed = rated.parent / "renamed.csv"
    rows = [line.split(",") for line in lines[1:]]
    for row in rows:
        row[1] = str(-float(row[1])).replace(".", ",")
        row[6] = "0,5"
    header = "File Name;DMOS;scene;reference_file;distortion;level;std"
    renamed.write_text("\n".join([header, *map(";".join, rows), ""]))
    found = []
    for table, options in (
        (rated, {}),
        (renamed, {"columns": ("reference=scene",), "higher_is": "worse"}),
    ):
        config = BenchmarkConfig(
            (table,), tmp_path / table.stem, (tmp_path / "a",), repetitions=2, baselines=False,
            **options,
        )  # fmt: skip
        run_benchmark(config, progress=True)
        found.append(rows_of(config.out / "summary.csv"))
    assert [{**row, "database": ""} for row in found[0]] == [
        {**r, "database": ""} for r in found[1]
    ]
    assert "renamed.csv: scores are -DMOS" in capsys.readouterr().err


def test_options_for_columns_need_a_table(tmp_path):
    config = BenchmarkConfig((tmp_path,), tmp_path / "out", higher_is="worse")
    with pytest.raises(InputError, match="--columns and --higher-is: are for CSV files"):
        run_benchmark(config)
