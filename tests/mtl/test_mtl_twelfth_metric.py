"""One row in the table is enough: a metric more goes through all that lists metrics."""

import csv
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import pytest
from small_network import small_run

import fr_metrics
from fr_metrics import score_all
from fr_metrics.gmsd import gmsd
from mlsp.report.figures import score_histograms, training_curves
from mtl.kadis.metric_names import chosen_metrics
from mtl.kadis.plan import GenerateConfig, make_plan
from mtl.published.export import column_title
from mtl.published.score_tables import read_published
from mtl.runtime.tables.csv_tables import table_text
from mtl.training.learning_curves import distinct_colors, learning_curve
from scripts import readme_table, report_metrics
from scripts.bench_metrics import ALL

RESULTS = Path(__file__).resolve().parents[2] / "results"
NAMES = (*fr_metrics.METRICS, "twelfth")
EPOCH = {"epoch": 1.0, "train_loss": 0.2, "validation_loss": 0.1, "mean_srocc": 0.5}


@pytest.fixture
def twelfth(monkeypatch):
    """Add a row to the table, in every module that has imported it."""
    row = replace(
        fr_metrics.METRICS["gmsd"],
        name="twelfth",
        title="TWELFTH",
        function=lambda reference, distorted: 2 * gmsd(reference, distorted),
        range="0 to 0.7",
    )
    table = fr_metrics.METRICS
    longer = MappingProxyType({**table, row.name: row})
    for module in list(sys.modules.values()):
        if getattr(module, "METRICS", None) is table:
            monkeypatch.setattr(module, "METRICS", longer)
    assert len(fr_metrics.METRICS) == 12
    return row


def test_it_is_scored(twelfth, sample):
    photograph = sample["chelsea"][:48, :48]
    blurred = cv2.GaussianBlur(photograph, (5, 5), 1)
    scores = score_all(photograph, blurred, ["gmsd", "twelfth"])
    assert scores["twelfth"] == pytest.approx(2 * scores["gmsd"])
    with pytest.raises(ValueError, match="floating reference must lie in"):
        twelfth.function(photograph.astype(float), blurred.astype(float))


def test_it_is_chosen_planned_exported_and_read(twelfth, photographs, tmp_path):
    assert chosen_metrics(()) == NAMES
    config = GenerateConfig(photographs, tmp_path / "kadis", size=(192, 256))
    assert make_plan(config).metrics == NAMES
    assert column_title("twelfth") == "TWELFTH"
    (tmp_path / "published.csv").write_text("dist_im,ref_im,Twelfth\na_01_01.png,a.png,0.5\n")
    assert read_published(tmp_path / "published.csv").metrics == ("twelfth",)


@pytest.mark.parametrize("count", [1, 11, 12, 30])
def test_every_metric_has_a_colour_of_its_own(count):
    colors = distinct_colors(count)
    assert len(set(colors)) == len(colors) == count


def test_it_is_drawn(twelfth, tmp_path):
    row = EPOCH | {f"{kind}_{m}": 0.5 for kind in ("srocc", "plcc") for m in NAMES}
    row["mean_plcc"] = 0.5
    learning_curve(tmp_path / "learning.png", [row, row | {"epoch": 2.0}])
    training_curves(tmp_path / "curves.png", [row, row | {"epoch": 2.0}], 1.0)
    values = {name: np.linspace(0, 1, 20) for name in NAMES}
    score_histograms(tmp_path / "histograms.png", values, values)
    for picture in tmp_path.iterdir():
        assert cv2.imread(str(picture)).std() > 5


def test_a_run_ends_its_first_epoch(twelfth, scored, tmp_path):
    run = small_run(scored, tmp_path / "run", epochs=1, batch_size=8)
    assert [row["epoch"] for row in run.log] == [1]
    assert (run.out / "learning.png").is_file()


def test_it_is_in_the_readmes_table(twelfth, tmp_path):
    for name in ("metrics_speed.csv", "metrics_fidelity.csv"):
        with (RESULTS / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        new = dict(next(row for row in rows if row["metric"] == "gmsd")) | {"metric": "twelfth"}
        place = next((k for k, row in enumerate(rows) if row["metric"] == ALL), len(rows))
        (tmp_path / name).write_text(table_text([*rows[:place], new, *rows[place:]]))
    table = readme_table.metrics_table(tmp_path).splitlines()
    assert any(line.startswith("| [`twelfth`]") and "| 0 to 0.7 |" in line for line in table)
    assert any(line.startswith("| all 12 |") for line in table)


def test_it_is_reported_without_its_authors_numbers(twelfth, monkeypatch):
    scores = dict.fromkeys(NAMES, 0.5)
    monkeypatch.setattr(report_metrics, "our_scores", lambda pair: scores)
    monkeypatch.setattr(report_metrics, "read_picture", lambda path: np.zeros((8, 8, 3), np.uint8))
    row = {"ref": "a", "dist": "b", **dict.fromkeys(report_metrics.COLUMNS.values(), "0.5")}
    found = report_metrics.largest_differences([row], Path("golden"), {})
    assert found[-1]["metric"] == "twelfth" and found[-1]["float64"] == ""
    assert found[-1]["float32"] == "0.0e+00"
