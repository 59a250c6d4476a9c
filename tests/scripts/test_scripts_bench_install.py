"""The benchmark of installing: what it measures and removes, not how fast anything is."""

import sys
import zipfile
from pathlib import Path

import pytest

from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table
from scripts import bench_install

PAYLOAD = 3 * 2**20  # bytes


def write_wheel(folder: Path) -> Path:
    """Write a wheel named as ours: a module, three MiB of data, no dependencies."""
    wheel = folder / "deepfl_iqa-0.1.0-py3-none-any.whl"
    described = "deepfl_iqa-0.1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("deepfl/__init__.py", "METRICS = predict = 1\n")
        archive.writestr("deepfl/data", bytes(PAYLOAD))
        archive.writestr(
            f"{described}/METADATA",
            "Metadata-Version: 2.4\nName: deepfl-iqa\nVersion: 0.1.0\nProvides-Extra: all\n",
        )
        archive.writestr(
            f"{described}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{described}/RECORD", "")
    return wheel


@pytest.fixture
def place(tmp_path):
    (tmp_path / "environments").mkdir()
    return tmp_path / "environments"


def test_a_row_holds_the_size_of_what_pip_installed(place, tmp_path):
    wheel = write_wheel(tmp_path)
    row = bench_install.installed(Path(sys.executable), wheel, "all", None, place)
    assert row["extra"] == "all" and row["versions_from"] == "newest"
    assert row["mib"] == 3 and row["distributions"] == 1 and row["jax"] == ""
    assert list(place.iterdir()) == []


def test_a_failure_is_one_line_and_leaves_no_environment(place, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'no room' >&2\necho 'left here' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(InputError, match=r"^python -m \.\.\.: left here$"):
        bench_install.installed(python, tmp_path / "wheel", "core", None, place)
    assert list(place.iterdir()) == []


def test_each_extra_is_installed_with_and_without_constraints(tmp_path, monkeypatch):
    made = []

    def installed(python, wheel, extra, constraints, place):
        assert wheel.name == "deepfl_iqa.whl"
        return {"extra": extra, "versions_from": bench_install.named(constraints), "mib": 1}

    def ran(*command):
        made.append(command)
        if "wheel" in command:
            folder = command[command.index("-w") + 1]
            folder.mkdir()
            (folder / "deepfl_iqa.whl").touch()
        return "3.11.7"

    monkeypatch.setattr(bench_install, "installed", installed)
    monkeypatch.setattr(bench_install, "ran", ran)
    out = tmp_path / "install.csv"
    bench_install.main(["--out", str(out), "--place", str(tmp_path)])
    rows = read_table(out, ("extra", "versions_from", "mib", "date", "hardware", "versions"))
    assert [(row["extra"], row["versions_from"]) for row in rows] == [
        ("core", "newest"),
        ("core", "constraints.txt"),
        ("all", "newest"),
        ("all", "constraints.txt"),
    ]
    assert {row["versions"] for row in rows} == {"Python 3.11.7"}
    with pytest.raises(InputError, match=r"--extras \.\./all: give names of extras, or core"):
        bench_install.main(["--out", str(out), "--extras", "../all"])


def test_size_counts_files_and_not_what_links_lead_to(tmp_path):
    (tmp_path / "folder" / "deeper").mkdir(parents=True)
    (tmp_path / "large").write_bytes(bytes(1000))
    (tmp_path / "folder" / "deeper" / "file").write_bytes(bytes(100))
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "large")
    assert 100 < bench_install.size_of(tmp_path / "folder") < 1000


def test_building_from_links_leaves_out_what_builds_left(tmp_path):
    bench_install.link_checkout(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"pyproject.toml", "setup.py", "scripts", "mtl", "README.md", "LICENSE"} <= names
    assert not any(name in ("build", ".git") or name.endswith(".egg-info") for name in names)
