"""The benchmark of the distortions: what it measures and writes, not how fast anything is."""

import csv

from distortions import DISTORTIONS
from scripts import bench_distortions


def test_table(tmp_path, monkeypatch, sample, capsys):
    small = sample["coffee"][:40, :60]
    monkeypatch.setattr(bench_distortions, "photograph", lambda: small)
    out = tmp_path / "results" / "speed.csv"
    bench_distortions.main(["--out", str(out), "--rounds", "2"])
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == list(DISTORTIONS)
    for row in rows:
        assert 0 < float(row["ms"]) <= float(row["slowest_level_ms"])
        assert float(row["spread_ms"]) >= 0
        assert row["date"] and "cores" in row["hardware"] and "numpy" in row["versions"]
    assert "mean of the 24 types other than denoise" in capsys.readouterr().out


def test_photograph_has_the_size_of_kadid():
    assert bench_distortions.photograph().shape == (384, 512, 3)
