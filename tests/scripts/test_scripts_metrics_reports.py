"""The published tables of the metrics: how they are measured, and that the README shows them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from fr_metrics import METRICS, score_all
from mtl.files import InputError
from scripts import bench_metrics, report_metrics
from scripts.readme_table import BEGIN, END, RANGES, metrics_table, with_table

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "metrics"


def test_the_readme_shows_the_measurements():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == with_table(readme, metrics_table(ROOT / "results"))
    assert set(RANGES) == set(METRICS)


def test_a_readme_without_a_place_for_the_table():
    with pytest.raises(InputError, match="needs the lines"):
        with_table(f"no table here {END}", "table")
    assert with_table(f"a\n{BEGIN}\nold\n{END}\nz", "new") == f"a\n{BEGIN}\nnew\n{END}\nz"


def test_measurements_of_a_metric_that_is_missing(tmp_path):
    (tmp_path / "metrics_speed.csv").write_text("metric,ms\nssim,1\n")
    with pytest.raises(InputError, match=r"metrics_speed\.csv: has no row of ms_ssim"):
        metrics_table(tmp_path)


def test_speed_rows(monkeypatch):
    monkeypatch.setattr(bench_metrics, "SIZE", (64, 48))
    monkeypatch.setattr(bench_metrics, "piq_calls", lambda *_: {"gmsd": lambda: None})
    rows = {row["metric"]: row for row in bench_metrics.measure(["ssim", "gmsd"], 2, 3)}
    assert list(rows) == ["ssim", "gmsd", bench_metrics.ALL]
    assert all(row["ms"] > 0 and row["spread_ms"] >= 0 for row in rows.values())
    assert rows["ssim"]["piq_ms"] == "" and rows["gmsd"]["piq_ms"] >= 0


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
    monkeypatch.setattr(report_metrics, "piq_scores", lambda pair: {"gmsd": 0.0})
    with (GOLDEN / "scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dist"] == "coffeeodd_blur_4"]
    table = {row["metric"]: row for row in report_metrics.largest_differences(rows, GOLDEN)}
    assert list(table) == list(METRICS)
    assert float(table["gmsd"]["float64"]) < 1e-12
    assert 0 < float(table["gmsd"]["float32"]) < 1e-6
    assert float(table["gmsd"]["piq"]) == pytest.approx(float(rows[0]["gmsd"]), rel=0.05)
    # scikit-image compares at full size, the authors' program of 2009 at half.
    assert 0.001 < float(table["ssim"]["scikit_image"]) < 0.2
    assert table["scqi"]["float64"] == ""


def test_identical_pictures_have_no_difference():
    image = np.zeros((40, 40, 3), np.uint8)
    assert report_metrics.scikit_image_scores((image, image)) == {"ssim": 1.0}
