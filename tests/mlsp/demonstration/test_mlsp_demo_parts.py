"""The human target and the sample photographs of the demonstration."""

import csv
from pathlib import Path

import pytest

from distortions import DISTORTIONS
from mlsp.databases.condition_means import HIGHEST, LOWEST, condition_means
from mlsp.demonstration.demo import run_demo
from mlsp.demonstration.folder import DemoConfig, claim
from mlsp.demonstration.samples import PHOTOGRAPHS, copy_photographs
from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture

PUBLISHED = Path(__file__).resolve().parents[4] / "shared/data/kadid10k_ratings.csv"


def test_the_table_holds_every_condition():
    means = condition_means()
    assert set(means) == {(d, level) for d in range(1, 26) for level in range(1, 6)}
    assert all(LOWEST <= value <= HIGHEST for value in means.values())
    assert set(DISTORTIONS) <= {d for d, _ in means}
    # A picture hardly changed is rated best, the strongest blur among the worst.
    assert means[1, 1] > 4.5 and means[1, 5] < 1.6


def test_the_table_is_the_mean_of_the_published_ratings():
    if not PUBLISHED.is_file():
        pytest.skip("KADID-10k's published ratings are not on this machine")
    ratings: dict[tuple[int, int], list[float]] = {}
    with PUBLISHED.open(newline="") as file:
        for row in csv.DictReader(file):
            _, distortion, level = Path(row["dist_name"]).stem.split("_")
            ratings.setdefault((int(distortion), int(level)), []).append(float(row["dmos"]))
    means = condition_means()
    for condition, values in ratings.items():
        assert means[condition] == pytest.approx(sum(values) / len(values), abs=6e-5)


def test_the_sample_photographs_are_there_and_large_enough(tmp_path):
    copies = copy_photographs(tmp_path)
    assert len(copies) == len(PHOTOGRAPHS) == 10
    for path in copies:
        assert min(read_picture(path).shape[:2]) >= 192
    times = [path.stat().st_mtime_ns for path in copies]
    assert [path.stat().st_mtime_ns for path in copy_photographs(tmp_path)] == times


def test_another_photograph_under_a_samples_name_is_refused(tmp_path):
    first, *_ = copy_photographs(tmp_path)
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    with pytest.raises(InputError, match=r"astronaut\.png: is not the sample photograph"):
        copy_photographs(tmp_path)
    first.unlink()
    assert copy_photographs(tmp_path)[0] == first


def test_another_picture_under_a_sample_photographs_name_is_refused(tmp_path):
    """Else a finished demonstration would pass for that picture's."""
    config = DemoConfig(tmp_path / "demo")
    claim(config)
    photographs = tmp_path / "demo" / "photographs"
    copy_photographs(photographs)
    (photographs / "china.jpg").write_bytes((photographs / "flower.jpg").read_bytes())
    with pytest.raises(InputError, match=r"china\.jpg: is not the sample photograph"):
        run_demo(config, progress=False)
