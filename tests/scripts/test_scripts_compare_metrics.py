"""The comparison of metrics with people, on a few conditions."""

import csv

import numpy as np
import pytest

from mtl.runtime.files import InputError
from scripts.compare_metrics import main, read_means, sample_photographs

COLUMNS = ["metric", "conditions", "photographs", "srocc", "date", "hardware", "versions"]


@pytest.fixture
def means(tmp_path):
    """Blur and noise as people see them; the 26th distortion is none of the package's."""
    path = tmp_path / "means.csv"
    rows = [f"{kind},{level},{5 - level - 0.1 * kind}" for kind in (1, 11) for level in (2, 3, 4)]
    path.write_text("\n".join(["distortion,level,mean_dmos", *rows, "26,1,3", ""]))
    return path


def test_a_row_per_metric_is_written(tmp_path, photographs, means, capsys):
    out = tmp_path / "metrics.csv"
    chosen = ["--metrics", "ssim", "gmsd", "--sample", "2", "--out", str(out)]
    main([str(photographs), str(means), *chosen])
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [row["metric"] for row in rows] == ["ssim", "gmsd"]
    for row in rows:
        assert (row["conditions"], row["photographs"]) == ("6", "2")
        # A metric of distance is turned around.
        assert float(row["srocc"]) > 0.7
    before = out.read_text()
    main([str(photographs), str(means), *chosen])
    assert out.read_text() == before
    assert "6 of 7 conditions and 2 photographs" in capsys.readouterr().err


def test_the_sample_is_spread_evenly(photographs):
    everything = sample_photographs(photographs, 100)
    assert [each.shape for each in everything] == [(384, 512, 3)] * len(everything)
    first_and_last = sample_photographs(photographs, 2)
    for crop, expected in zip(first_and_last, (everything[0], everything[-1]), strict=True):
        np.testing.assert_array_equal(crop, expected)


def test_a_mean_that_is_no_number_is_named(tmp_path):
    path = tmp_path / "means.csv"
    path.write_text("distortion,level,mean_dmos\n1,1,good\n")
    with pytest.raises(InputError, match="not a number"):
        read_means(path)
    path.write_text("distortion,level,mean_dmos\n1,1_0,2\n")
    with pytest.raises(InputError, match="line 2: level '1_0' is no whole number"):
        read_means(path)
    path.write_text("distortion,level,mean_dmos\n1,1,2\n1,01,3\n")
    with pytest.raises(InputError, match="line 3: type 1 at level 1 is there twice"):
        read_means(path)
