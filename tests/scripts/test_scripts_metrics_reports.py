"""The published tables of the metrics: how they are measured, and that the README shows them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from fr_metrics import METRICS, score_all
from mtl.files import InputError, table_text
from scripts import bench_metrics, report_metrics
from scripts.readme_table import RANGES, TABLES, generation_table, metrics_table, with_table

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "metrics"


def test_the_readme_shows_the_measurements():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, table in TABLES.items():
        assert readme == with_table(readme, name, table(ROOT / "results"))
    assert set(RANGES) == set(METRICS)


def test_a_readme_without_a_place_for_the_table():
    with pytest.raises(InputError, match="needs the lines"):
        with_table("no table here <!-- end of metrics -->", "metrics", "table")
    page = "a\n<!-- metrics: from results/ -->\n{}\n<!-- end of metrics -->\nz"
    assert with_table(page.format("old"), "metrics", "new") == page.format("new")


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
