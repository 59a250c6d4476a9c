"""The benchmark of the networks: what it measures and writes, not how fast anything is."""

import os
from pathlib import Path

import numpy as np
import pytest

from mtl.network.networks import NETWORKS
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table
from scripts import bench_networks
from scripts.peak_memory import Work

RESULTS = Path(__file__).resolve().parents[2] / "results"
SMALL = ["--network", "resnet50", "--width", "0.0625", "--size", "32", "48", "--crop", "40", "32"]


def test_table(tmp_path, capsys):
    out = tmp_path / "networks.csv"
    given = ["--out", str(out), *SMALL]
    bench_networks.main(given)
    rows = read_table(out, bench_networks.COLUMNS)
    assert [row["pass"] for row in rows] == ["forward", "training"]
    for row, (batch, height, width) in zip(rows, ((1, 32, 48), (2, 40, 32)), strict=True):
        assert (row["device"], row["network"], row["share"]) == ("cpu", "resnet50", "0.0625")
        assert [int(row[name]) for name in ("batch", "height", "width")] == [batch, height, width]
        assert int(row["features"]) == 2048 / 16 and int(row["mlsp"]) == 15104 / 16
        # Kernels lose both of their sides' channels; biases and scales one.
        assert 23_534_592 / 16**2 < int(row["parameters"]) < 23_534_592 / 16
        milliseconds, rate = float(row["ms"]), float(row["images_per_s"])
        assert rate == pytest.approx(1000 * batch / milliseconds, rel=0.1)
        assert float(row["process_mib"]) > 100 and row["calls"] == "5"
        assert float(row["compile_s"]) > 0
        assert row["date"] and "cores" in row["hardware"] and "jax" in row["versions"]
    capsys.readouterr()
    bench_networks.main([*given, "--resume"])
    assert capsys.readouterr().err.count("is there") == 2
    assert read_table(out, bench_networks.COLUMNS) == rows


def test_sizes_are_those_of_the_row():
    row = NETWORKS["resnet50"]
    assert bench_networks.body_sizes("resnet50") == {
        "parameters": 23_534_592,  # as keras.applications counts them without the top
        "features": row.features,
        "mlsp": row.length,
    }


def test_memory_is_what_the_work_took_at_most():
    work = Work()
    if work.bytes() is None:
        pytest.skip("this machine does not tell")
    held = np.ones(2**25)  # 256 MiB
    held = np.ones(2**10)
    taken = work.bytes()
    assert len(held) and taken is not None and 250 < taken / 2**20 < 350
    assert Work().bytes() < 2**27


def test_a_process_that_is_ended_is_said():
    with pytest.raises(InputError, match="for want of memory; use a smaller"):
        bench_networks.in_own_process(os._exit, 9)


def test_what_cannot_be_measured_is_said(tmp_path):
    for options, problem in (
        (["--network", "vgg"], "network vgg: is not one of"),
        (["--width", "0.3"], "--width 0.3: must be one of"),
        (["--calls", "4"], "--calls must be at least 5"),
        (["--network", "resnet50", "--crop", "31", "40"], "--crop: resnet50 needs at least 32"),
        (["--network", "resnet50", "--size", "31", "40"], "--size: resnet50 needs at least 32"),
    ):
        with pytest.raises(InputError, match=problem):
            bench_networks.main(["--out", str(tmp_path / "x.csv"), *options])


def test_the_published_table_has_every_network_as_it_is():
    rows = read_table(RESULTS / "networks.csv", bench_networks.COLUMNS)
    whole = [row for row in rows if row["share"] == "1.0"]
    assert {(row["network"], row["pass"]) for row in whole} == {
        (name, one) for name in NETWORKS for one in bench_networks.PASSES
    }
    for row in whole:
        network = NETWORKS[row["network"]]
        assert (int(row["features"]), int(row["mlsp"])) == (network.features, network.length)
        sizes = {"forward": (384, 512), "training": (320, 448)}
        assert (int(row["height"]), int(row["width"])) == sizes[row["pass"]]
        assert int(row["calls"]) >= bench_networks.FEWEST_CALLS
