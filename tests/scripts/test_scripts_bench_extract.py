"""The benchmark of extraction: what it measures and writes, with a stand-in for PyTorch."""

import csv
import sys
from dataclasses import replace

import numpy as np
import pytest

from mtl.network import model
from mtl.network.networks import DEFAULT, NETWORKS
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table
from scripts import bench_extract

LENGTH = NETWORKS[DEFAULT].length

# Answers as scripts/torch_inception.py does: the mean pixel of each picture as every feature.
STAND_IN = f"""
import json, sys
import numpy as np
assert "body/stem/0/conv/kernel" in np.load(sys.argv[1])
print(json.dumps({{"torch": "0.0", "threads": int(sys.argv[2])}}), flush=True)
for line in sys.stdin:
    task = json.loads(line)
    if "images" in task:
        means = np.load(task["images"]).mean(axis=(1, 2, 3))
        np.save(task["features"], np.repeat(means[:, None], {LENGTH}, axis=1))
        print(json.dumps({{"done": True}}), flush=True)
    else:
        print(json.dumps({{"seconds": {{"first": 0.5, "last": 0.25}}[task["time"]]}}), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    monkeypatch.setattr(bench_extract, "PROGRAM", program)

    def extractor(model):
        def run(images, sizes):
            scaled = (images.astype(np.float32) - 127.5) / 127.5
            return np.repeat(scaled.mean(axis=(1, 2, 3))[:, None] + 0.125, LENGTH, axis=1)

        return run

    monkeypatch.setattr(bench_extract, "extractor", extractor)


def test_table(stand_in, tmp_path, capsys):
    out = tmp_path / "results" / "speed.csv"
    given = ["--torch", sys.executable, "--out", str(out), "--rounds", "2"]
    bench_extract.main([*given, "--sizes", "80", "96", "96", "80", "--batches", "1", "4"])
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    shapes = [(row["height"], row["width"], row["batch"]) for row in rows]
    assert shapes == [("80", "96", "1"), ("80", "96", "4"), ("96", "80", "1"), ("96", "80", "4")]
    for row in rows:
        assert row["torch_layout"] == "channels last"
        assert float(row["torch_ms"]) == 250 / int(row["batch"])
        assert float(row["ratio"]) == pytest.approx(
            float(row["ours_ms"]) / float(row["torch_ms"]), abs=2e-3
        )
        assert float(row["largest_difference"]) == pytest.approx(0.125, rel=1e-3)
        assert "torch 0.0" in row["versions"] and row["date"] and "cores" in row["hardware"]


def test_any_network_is_timed_alone(stand_in, tmp_path, monkeypatch):
    out = tmp_path / "speed.csv"
    given = ["--out", str(out), "--rounds", "1", "--sizes", "40", "48", "--batches", "1"]
    bench_extract.main([*given, "--network", "resnet50"])
    bench_extract.main([*given[:4], "--sizes", "80", "96", "--batches", "1"])
    first, second = read_table(out, bench_extract.KEY)
    assert first["network"] == "resnet50" and second["network"] == DEFAULT
    for row in (first, second):
        assert row["ours_ms"] and row["ours_mixed_sizes_ms"] and row["rounds"] == "1"
        assert row["torch_ms"] == row["ratio"] == row["largest_difference"] == ""
    by_size = replace(NETWORKS["resnet50"], shares_canvas=False)
    monkeypatch.setattr(model, "NETWORKS", {**NETWORKS, "resnet50": by_size})
    bench_extract.main([*given, "--network", "resnet50", "--rounds", "2"])  # instead of the first
    first, _ = read_table(out, bench_extract.KEY)
    assert first["ours_ms"] and first["ours_mixed_sizes_ms"] == "" and first["rounds"] == "2"


def test_what_cannot_be_measured_is_said(stand_in, tmp_path, untrained):
    for options, problem in (
        (["--network", "vgg"], "network vgg: is not one of"),
        (["--network", "resnet50", "--torch", sys.executable], "leave --torch out"),
        (["--model", str(untrained), "--torch", sys.executable], "at full width, not .* at 0.125"),
        (["--model", str(untrained), "--network", "resnet50"], "give one of them"),
        (["--sizes", "74", "80"], "InceptionResNetV2 needs at least 75 pixels"),
    ):
        with pytest.raises(InputError, match=problem):
            bench_extract.main(options)
    with pytest.raises(InputError, match="no such program; see --help"):
        bench_extract.main(["--torch", str(tmp_path / "none")])
    with pytest.raises(InputError, match="--rounds and --batches must be positive"):
        bench_extract.main(["--torch", sys.executable, "--rounds", "0"])
    bench_extract.PROGRAM.write_text("raise SystemExit(1)")
    with pytest.raises(InputError, match="the process with PyTorch ended"):
        bench_extract.main(["--torch", sys.executable, "--out", str(tmp_path / "x.csv")])
