"""The check of published figures notices what has changed; the end-to-end tests re-run it."""

from pathlib import Path

import pytest

from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table, table_text
from scripts.check_results import CHECKS, differences

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture(scope="module")
def rows():
    return read_table(RESULTS / "check.csv", ("published", "figure", "value", "tolerance"))


def test_what_is_published_is_what_is_published(rows):
    assert differences(RESULTS / "check.csv", rows) == []


def test_every_table_of_quality_is_guarded():
    """Tables of speed differ between machines; the others have a check."""
    tables = {path.name for path in RESULTS.iterdir() if path.suffix in (".csv", ".md")}
    speed = {name for name in tables if name.endswith("_speed.csv")}
    assert tables - speed - {"check.csv"} == {check.published for check in CHECKS}


@pytest.mark.parametrize("place", [0, 30, -1])
def test_a_figure_that_moves_is_found(rows, place):
    row = rows[place]
    moved = float(row["value"]) + 1.5 * float(row["tolerance"])
    changed = [r | {"value": str(moved)} if r is row else r for r in rows]
    (line,) = differences(RESULTS / "check.csv", changed)
    assert row["figure"] in line and row["published"] in line
    within = float(row["value"]) + 0.5 * float(row["tolerance"])
    changed = [r | {"value": str(within)} if r is row else r for r in rows]
    assert differences(RESULTS / "check.csv", changed) == []


def test_figures_that_come_go_or_are_none(rows, tmp_path):
    path = tmp_path / "check.csv"
    path.write_text(table_text(rows[1:]))
    assert differences(path, rows) == [f"{rows[0]['published']}: {rows[0]['figure']}: is new"]
    (line,) = differences(RESULTS / "check.csv", rows[1:])
    assert line.endswith("is gone")
    (line,) = differences(RESULTS / "check.csv", [rows[0] | {"value": "nan"}, *rows[1:]])
    assert "is nan" in line
    path.write_text(table_text([rows[0] | {"value": "much"}]))
    with pytest.raises(InputError, match="is not a number"):
        differences(path, rows[:1])
