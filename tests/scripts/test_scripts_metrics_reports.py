"""The published tables of the metrics: how they are measured, and that the README shows them."""

import csv
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fr_metrics import METRICS, score_all
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import table_text
from scripts import bench_metrics, other_libraries, report_metrics
from scripts.other_libraries import LIBRARIES, PIQ, PYIQA, Library, packages
from scripts.readme_table import TABLES, generation_table, metrics_table, with_table

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "metrics"


def test_the_readme_shows_the_measurements():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, table in TABLES.items():
        assert readme == with_table(readme, name, table(ROOT / "results"))


def test_a_readme_without_a_place_for_the_table():
    with pytest.raises(InputError, match="needs the lines"):
        with_table("no table here <!-- end of metrics -->", "metrics", "table")
    page = "a\n<!-- metrics: from results/ -->\n{}\n<!-- end of metrics -->\nz"
    assert with_table(page.format("old"), "metrics", "new") == page.format("new")


def test_measurements_of_a_metric_that_is_missing(tmp_path):
    (tmp_path / "metrics_speed.csv").write_text("metric,ms\nssim,1\n")
    with pytest.raises(InputError, match=r"metrics_speed\.csv: has no row of ms_ssim"):
        metrics_table(tmp_path)


def library(**scores):
    """Another library, whose metrics always give these scores."""

    def calls(reference, distorted):
        return {name: partial([score].__mul__, len(distorted)) for name, score in scores.items()}

    return Library("another", (), calls)


def test_speed_rows(monkeypatch):
    monkeypatch.setattr(bench_metrics, "SIZE", (64, 48))
    libraries = {"piq": library(gmsd=0.0, vsi=0.0), "scikit_image": LIBRARIES["scikit_image"]}
    measured = bench_metrics.measure(["ssim", "gmsd"], 2, 3, libraries)
    rows = {row["metric"]: row for row in measured}
    assert list(rows) == ["ssim", "gmsd", bench_metrics.ALL]
    assert all(row["ms"] > 0 and row["spread_ms"] >= 0 for row in rows.values())
    assert rows["ssim"]["piq_ms"] == "" and rows["gmsd"]["piq_ms"] >= 0
    assert rows["ssim"]["scikit_image_ms"] > 0
    assert rows["gmsd"]["scikit_image_ms"] == rows[bench_metrics.ALL]["scikit_image_ms"] == ""


def test_turns_are_counted_without_the_first():
    calls = []
    seconds = bench_metrics.timed(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2
    )
    assert calls == ["a", "b"] * 3
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


def test_rates_of_batches(monkeypatch):
    monkeypatch.setattr(bench_metrics, "SIZE", (64, 48))
    (row,) = bench_metrics.batch_rates(["gmsd"], [3], 2)
    assert row["metric"].endswith("batches of 3") and row["pairs_per_s"] > 0


def test_differences_to_the_authors(monkeypatch):
    monkeypatch.setattr(
        report_metrics,
        "our_scores",
        lambda pair: {"gmsd": float(score_all(*pair, ["gmsd"])["gmsd"])},
    )
    libraries = {"piq": library(gmsd=0.0), "scikit_image": LIBRARIES["scikit_image"]}
    with (GOLDEN / "scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dist"] == "coffeeodd_blur_4"]
    differences = report_metrics.largest_differences(rows, GOLDEN, libraries)
    table = {row["metric"]: row for row in differences}
    assert list(table) == list(METRICS)
    assert float(table["gmsd"]["float64"]) < 1e-12
    assert 0 < float(table["gmsd"]["float32"]) < 1e-6
    assert float(table["gmsd"]["piq"]) == pytest.approx(float(rows[0]["gmsd"]), rel=0.05)
    # scikit-image compares at full size, the authors' program of 2009 at half.
    assert 0.001 < float(table["ssim"]["scikit_image"]) < 0.2
    assert table["scqi"]["float64"] == ""
    assert {row["pyiqa"] for row in differences} == {""}


def test_other_libraries_know_our_metrics_and_score_every_version():
    assert set(PIQ) | set(PYIQA) <= set(METRICS)
    image = np.zeros((40, 40, 3), np.uint8)
    calls = LIBRARIES["scikit_image"].calls(image, np.stack([image, image + 200]))
    same, other = calls["ssim"]()
    assert same == 1.0 and other < 0.1


def test_a_library_that_is_not_installed_is_named(monkeypatch, capsys):
    absent = replace(library(), module="no_such_module")
    monkeypatch.setattr(
        other_libraries, "LIBRARIES", {"absent": absent, "present": LIBRARIES["scikit_image"]}
    )
    found = other_libraries.installed_libraries()
    assert list(found) == ["present"] and packages(found) == ["scikit-image"]
    assert "absent is not installed" in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["piq", "pyiqa"])
def test_the_distorted_picture_comes_first(name, monkeypatch):
    """What stands in for PyTorch and the library notes the order of the arguments."""
    order = []

    def metric(versions, references, **_):
        order.append((versions, references))
        return [0.0]

    monkeypatch.setattr(other_libraries, "_tensors", lambda *_: ("reference", "distorted"))
    monkeypatch.setattr(other_libraries, "_pyiqa_metric", lambda _: metric)
    stand_in = SimpleNamespace(**dict.fromkeys(PIQ.values(), metric))
    monkeypatch.setitem(sys.modules, "piq", stand_in)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(no_grad=nullcontext))
    image = np.zeros((8, 8, 3), np.uint8)
    calls = LIBRARIES[name].calls(image, image[None])
    assert [calls[each]() for each in ("vsi", "gmsd")] == [[0.0]] * 2
    assert order == [("distorted", "reference")] * 2


def test_the_costs_follow_from_the_measurements(tmp_path):
    rate = "images_per_second_and_core"
    steps = {f"{step}_percent": "20" for step in ("read", "distort", "score", "encode", "write")}
    machine = {"date": "today", "hardware": "this", "versions": "these"}
    rows = [
        {"what": what, rate: "10", "mb_per_image": mb, "speed_over_one_worker": "1.9"}
        | steps
        | machine
        for what, mb in (
            ("one worker", "0.3"),
            ("two workers", "0.3"),
            ("one worker, store recipe", "0.06"),
        )
    ]
    (tmp_path / "generate_speed.csv").write_text(table_text(rows))
    (tmp_path / "distortions_speed.csv").write_text("name,ms\njpeg,5\ndenoise,500\n")
    table = generation_table(tmp_path)
    # 700,000 images at 0.1 s, a 25th of them 0.5 s more: 84,000 s.
    assert "| pixels | 10.0 | 23 | 210 |" in table and "| recipe | 10.0 | 23 | 42 |" in table
    assert "1.90 times as fast" in table and "score 20 %" in table
    (tmp_path / "generate_speed.csv").write_text(table_text(rows[:1]))
    with pytest.raises(InputError, match="lacks a row"):
        generation_table(tmp_path)
