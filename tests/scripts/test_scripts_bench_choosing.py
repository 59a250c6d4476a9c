"""The benchmark of choosing: what it measures and writes, not how fast anything is."""

import pytest

from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table
from scripts import bench_choosing


def test_the_bound_is_below_the_value_and_the_gap_between_them(tmp_path):
    out = tmp_path / "speed.csv"
    bench_choosing.main(["--out", str(out), "--photographs", "300", "700", "--bins", "12"])
    rows = read_table(out, ("photographs", "seconds", "value", "bound", "gap", "hardware"))
    assert [(row["photographs"], row["chosen"]) for row in rows] == [("300", "35"), ("700", "83")]
    for row in rows:
        value, bound, gap = (float(row[name]) for name in ("value", "bound", "gap"))
        assert 0 < bound <= value
        assert gap == pytest.approx((value - bound) / value, abs=1e-3)
        left = int(row["photographs"]) // 10
        assert int(row["near_duplicates_left_out"]) == int(row["chosen"]) - left
    values, clusters = bench_choosing.simulated(300, 12, 0)
    assert values.shape == (300, 7) and (values > 0).all() and set(clusters) <= set(range(12))
    with pytest.raises(InputError, match="--photographs must be at least 20"):
        bench_choosing.main(["--out", str(out), "--photographs", "5"])
