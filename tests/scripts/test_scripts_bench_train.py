"""The benchmark of training: what it measures and writes, not how fast anything is."""

import csv
from functools import partial

import pytest
from small_network import SmallBody

from mtl.network.networks import DEFAULT
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table, table_text
from mtl.training.engine import build_network
from scripts import bench_train


def arguments(data, out, *more):
    return ["--data", str(data), "--out", str(out), "--batch-size", "4", "--steps", "2", *more]


def test_table(scored, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_train, "build_network", partial(build_network, body=SmallBody))
    out = tmp_path / "results" / "speed.csv"
    bench_train.main(arguments(scored, out))
    bench_train.main(arguments(scored, out, "--crop", "80", "80", "--trace", str(tmp_path / "t")))
    bench_train.main(arguments(scored, out))  # instead of the first row
    assert "largest_costs" in capsys.readouterr().out
    assert list((tmp_path / "t").rglob("*.xplane.pb"))
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["height"], row["width"]) for row in rows] == [("80", "96"), ("80", "80")]
    for row in rows:
        assert row["device"] == "cpu" and row["utilisation"] == ""
        for name in ("images_per_s", "loader_images_per_s", "both_images_per_s", "compile_s"):
            assert float(row[name]) > 0, name
        assert row["largest_costs"].count("%") == 3
        assert row["date"] and "cores" in row["hardware"] and "jax" in row["versions"]
        # Twice the multiplications of a convolution 3×3 with stride 2 from 3 to 4 channels, and
        # more for the other layers and the gradient.
        least = 2 * 27 * 4 * int(row["height"]) * int(row["width"]) / 4
        assert float(row["gflop_per_image"]) > least / 1e9


def test_utilisation_is_the_share_of_the_peak(scored, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_train, "build_network", partial(build_network, body=SmallBody))
    out = tmp_path / "speed.csv"
    bench_train.main(arguments(scored, out, "--peak-tflops", "0.001"))
    with out.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["utilisation"]) == pytest.approx(float(row["tflops"]) / 0.001, abs=0.6)


def test_any_network_beside_a_table_that_names_none(scored, tmp_path):
    out = tmp_path / "speed.csv"
    older = {name: "" for name in bench_train.KEY if name not in bench_train.OLDER}
    out.write_text(table_text([{**older, "device": "cpu", "images_per_s": "13.91"}]))
    given = arguments(scored, out, "--network", "resnet50", "--width", "0.0625")
    bench_train.main([*given, "--crop", "32", "32"])
    first, second = read_table(out, bench_train.KEY)
    assert first["network"] == DEFAULT and first["share"] == "1.0"
    assert first["images_per_s"] == "13.91" and first["gflop_per_image"] == ""
    assert (second["network"], second["share"], second["width"]) == ("resnet50", "0.0625", "32")
    assert float(second["images_per_s"]) > 0


def test_what_cannot_be_measured_is_said(scored, tmp_path):
    out = tmp_path / "speed.csv"
    for options, problem in (
        (["--network", "vgg"], "network vgg: is not one of"),
        (["--network", "resnet50", "--width", "0.3"], "--width 0.3: must be one of .* ResNet-50"),
        (["--network", "resnet50", "--crop", "31", "40"], "below the network's 32×32"),
    ):
        with pytest.raises(InputError, match=problem):
            bench_train.main(arguments(scored, out, *options))
    with pytest.raises(InputError, match="--steps must be positive"):
        bench_train.main(arguments(scored, out, "--steps", "0"))
