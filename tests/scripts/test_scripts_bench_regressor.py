"""The benchmark of the regressors: what it measures and writes, not how fast anything is."""

import pytest

from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table
from scripts import bench_regressor


def test_what_is_measured_and_what_is_computed_are_told_apart(tmp_path):
    out = tmp_path / "speed.csv"
    size = ["--references", "5", "--features", "12", "--epochs", "2", "--share", "0.2"]
    bench_regressor.main(["--out", str(out), *size])
    rows = {row["what"]: row for row in read_table(out, ("what", "value", "how", "hardware"))}
    assert rows["features"]["value"] == "625×12"
    assert rows["members together"]["value"] == "2"
    together = float(rows["an epoch of all members"]["value"])
    alone = float(rows["an epoch of all members, one after the other"]["value"])
    ratio = float(rows["one after the other / together"]["value"])
    assert ratio == pytest.approx(alone / together, rel=0.1, abs=0.02)
    assert float(rows["largest difference of a prediction"]["value"]) < 1e-3
    for what, row in rows.items():
        assert row["how"] == "extrapolated" or "100" not in what
    with pytest.raises(InputError, match="--share must be above 0"):
        bench_regressor.main(["--out", str(out), *size[:-1], "0"])


def test_the_features_are_as_many_as_the_network_has():
    config = bench_regressor.BenchConfig(network="resnet50")
    assert bench_regressor.length_of(config) == 15104
    assert bench_regressor.length_of(bench_regressor.BenchConfig()) == 16928
    assert bench_regressor.length_of(bench_regressor.BenchConfig(features=7)) == 7
    for wrong, problem in (({"network": "vgg"}, "network vgg"), ({"features": 0}, "--features")):
        with pytest.raises(InputError, match=problem):
            bench_regressor.length_of(bench_regressor.BenchConfig(**wrong))
