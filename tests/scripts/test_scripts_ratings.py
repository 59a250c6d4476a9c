"""`deepfl ratings` from a table of raw ratings to scores that training reads."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepfl.program import main
from mlsp.databases import open_database
from mtl.ratings.rated import read_ratings
from mtl.ratings.simulation import SimulationSettings, raw_text, simulate
from scripts import bench_ratings

STUDY = SimulationSettings(raters=40, images=60, votes=36.0, tests=20)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Raw ratings, experts, a model's predictions, and the pictures."""
    monkeypatch.chdir(tmp_path)
    study = simulate(STUDY, np.random.default_rng(1))
    (tmp_path / "raw.csv").write_text(raw_text(study.raw))
    rng = np.random.default_rng(0)
    tests = np.flatnonzero(study.raw.is_test)
    rows = [f"{study.raw.images[k]},{20 * study.quality[k] - 20 + rng.normal():.3f}" for k in tests]
    (tmp_path / "experts.csv").write_text("\n".join(["image,score", *rows, ""]))
    rows = [
        f"{name},{study.quality[k] + 0.45 * rng.normal():.4f}"
        for k, name in enumerate(study.raw.images[:50])
    ]
    (tmp_path / "predicted.csv").write_text("\n".join(["image,quality", *rows, ""]))
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((8, 8, 3), np.uint8))
    for name in study.raw.images:
        shutil.copy(tmp_path / "one.png", tmp_path / "pictures" / name)
    return tmp_path


def test_a_study_from_raw_ratings_to_a_table_for_training(place):
    command = [sys.executable, "-m", "deepfl", "ratings", "raw.csv", "--out", "rated"]
    command += ["--experts", "experts.csv", "--predictions", "predicted.csv"]
    command += ["--pictures", "pictures", "--repetitions", "40"]
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": root}, cwd=place
    )
    assert done.returncode == 0, done.stderr
    assert "images: 60, with " in done.stdout and "ICC of single ratings: 0." in done.stdout
    assert "experts, 20 images: MOS_experts = " in done.stdout
    assert "predictions are as good as " in done.stdout
    assert "raters gave 54 ratings each (median); below 80 or so, honest ones are" in done.stderr
    assert "next: deepfl benchmark rated/scores.csv --model RUN" in done.stderr

    out = place / "rated"
    ratings = read_ratings(out / "scores.csv")
    assert ratings.names[0] == "../pictures/i00.png" and len(ratings.names) == 60
    assert (out / ratings.names[0]).is_file()
    database = open_database(out / "scores.csv", None, check_files=True)
    assert len(database) == 60 and database.deviations is not None
    with (out / "removed.csv").open() as file:
        removed = list(csv.DictReader(file))
    assert all(row["reason"] and row["explanation"] for row in removed)
    cheats = simulate(STUDY, np.random.default_rng(1)).cheats
    assert {f"r{k:02}" for k, kind in enumerate(cheats) if kind} <= {r["rater"] for r in removed}
    with (out / "raters.csv").open() as file:
        kept = list(csv.DictReader(file))
    assert f"kept: {len(kept)} of 40 raters" in done.stdout and len(kept) + len(removed) == 40
    assert all(float(r["test_accuracy"]) >= 0.7 and float(r["plcc"]) >= 0.5 for r in kept)

    found = json.loads((out / "reliability.json").read_text())
    assert found["raters"] == 40 and found["kept"] == len(kept) and found["images"] == 60
    assert sum(found["removed"].values()) == len(removed) < 12
    worth = found["predictions"]["as_good_as_votes"]
    assert worth["low"] <= worth["value"] <= worth["high"]
    assert 0.9 < found["experts"]["srocc"]["value"] <= 1 and found["experts"]["images"] == 20
    halves = found["random_halves"]["srocc"]
    assert 0.7 < halves["low"] <= halves["value"] <= halves["high"] < 1
    with (out / "agreement.csv").open() as file:
        groups = list(csv.DictReader(file))
    assert {row["images"] for row in groups} == {"all", "predicted"}
    picture = cv2.imread(str(out / "ratings.png"))
    assert picture is not None and min(picture.shape[:2]) > 600


def test_the_example_of_the_help_works_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["ratings", "--simulate", "raw.csv"]) == 0
    assert main(["ratings", "raw.csv", "--out", "rated", "--repetitions", "20"]) == 0
    shown = capsys.readouterr()
    assert "26000 ratings of 200 simulated raters, 40 of whom cheat" in shown.err
    assert "SROCC of random halves" in shown.out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("gone.csv --out out", "gone.csv: no such file"),
        ("experts.csv --out out", "experts.csv: the header is 'image,score' but must hold rater"),
        ("raw.csv --out raw.csv", "raw.csv: is a file; give a folder"),
        ("raw.csv --out out --experts predicted.csv", "must hold score, or c1 c2 c3 c4 c5"),
        ("raw.csv --out out --experts strange.csv", "strange.csv: cannot be compared with raw.csv"),
        ("raw.csv --out out --predictions experts.csv", "a column predicted or quality"),
        ("raw.csv --out out --predictions words.csv", "line 2: predicted 'good' is not a number"),
        ("raw.csv --out out --predictions twice.csv", "line 3: i00.png is there twice"),
        ("raw.csv --out out --predictions same.csv", "same.csv: all predictions are 3"),
        ("raw.csv --out out --predictions few.csv", "few.csv: cannot be compared with raw.csv"),
        ("raw.csv --out out --accuracy 7", "--accuracy 7: must be within 0..1"),
        ("raw.csv --out out --fewest-ratings 55", "none of the 40 raters is left with 55 ratings"),
        ("raw.csv --out out --pictures gone", "must name pictures relative to --pictures"),
    ],
)
def test_a_users_mistakes_are_one_line_and_write_nothing(place, capsys, options, problem):
    (place / "strange.csv").write_text("image,score\nx,1\ny,2\n")
    (place / "words.csv").write_text("image,predicted\ni00.png,good\n")
    (place / "twice.csv").write_text("image,predicted\ni00.png,1\ni00.png,2\n")
    (place / "few.csv").write_text("image,predicted\ni00.png,1\ni01.png,2\n")
    same = [f"i{k:02}.png,3" for k in range(9)]
    (place / "same.csv").write_text("\n".join(["image,predicted", *same, ""]))
    before = (place / "raw.csv").read_bytes()
    assert main(["ratings", *options.split(), "--repetitions", "20"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("deepfl ratings: ") and problem in error
    assert not (place / "out").exists() and (place / "raw.csv").read_bytes() == before


def test_the_benchmark_measures_what_it_says(tmp_path):
    bench_ratings.main(
        [
            "--out",
            str(tmp_path),
            "--ratings",
            "80",
            "--shares",
            "0.2",
            "--studies",
            "2",
            "--no-speed",
        ]
    )
    with (tmp_path / "ratings_screening.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["cheaters"], row["honest"]) == ("80", "320") and row["versions"]
    assert float(row["cheaters_found"]) >= 0.95 and float(row["honest_removed"]) <= 0.02
