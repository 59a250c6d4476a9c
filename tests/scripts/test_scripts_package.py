"""The package deepfl, and the wheel that holds it: names, files and data."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import deepfl
import distortions
import fr_metrics
import mlsp.evaluation
import mlsp.features
import mlsp.prediction
from deepfl.program import main
from scripts.bench_install import link_checkout

ROOT = Path(__file__).parents[2]
# What is installed, and where it lies in the checkout.
PACKAGES = {
    "deepfl": ROOT / "scripts" / "deepfl",
    **{name: ROOT / name for name in ("distortions", "fr_metrics", "mlsp", "mtl")},
}


def test_the_public_names_are_those_of_their_packages():
    assert deepfl.distort is distortions.distort
    assert deepfl.DISTORTIONS is distortions.DISTORTIONS
    assert deepfl.score is fr_metrics.score and deepfl.score_all is fr_metrics.score_all
    assert deepfl.METRICS is fr_metrics.METRICS
    assert deepfl.HistogramEqualization is fr_metrics.HistogramEqualization
    assert deepfl.extract is mlsp.features.extract
    assert deepfl.benchmark is mlsp.evaluation.benchmark
    assert deepfl.predict is mlsp.prediction.predict
    assert {*deepfl.__all__, "__version__"} == set(dir(deepfl))
    with pytest.raises(AttributeError, match="module 'deepfl' has no attribute 'train'"):
        deepfl.train  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'train'"):
        from deepfl import train  # noqa: F401


def test_no_module_has_a_public_name():
    modules = {path.stem for path in PACKAGES["deepfl"].iterdir()}
    assert not modules & set(deepfl.__all__)


def test_importing_deepfl_loads_nothing_and_takes_milliseconds():
    program = (
        "import sys, time; before = set(sys.modules); began = time.process_time(); import deepfl;"
        " print(time.process_time() - began, *{m.partition('.')[0] for m in sys.modules} - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seconds, *loaded = done.stdout.split()
    assert float(seconds) < 0.2
    assert set(loaded) - sys.stdlib_module_names == {"deepfl"}


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"deepfl {deepfl.__version__}\n"


def installed_files() -> set[str]:
    """Names, as in the wheel, of all files of the packages in the checkout."""
    found = set()
    for name, folder in PACKAGES.items():
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.add(str(PurePosixPath(name, *path.relative_to(folder).parts)))
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built offline from links to the checkout, in which nothing is written."""
    tree = tmp_path_factory.mktemp("tree")
    link_checkout(tree)
    program = "from setuptools.build_meta import build_wheel; build_wheel('made')"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (tree / "made").iterdir()
    return made


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    described = {name for name in names if ".dist-info/" in name.partition("/")[0] + "/"}
    assert names - described == installed_files()
    for expected in (
        "distortions/data/denoiser.npz",
        "mtl/data/deepfl-small/model.json",
        "mlsp/databases/data/kadid10k_condition_means.csv",
        "deepfl/commands/predict.py",
        "mtl/network/imports/__init__.py",
    ):
        assert expected in names
    assert any(name.startswith("fr_metrics/data/") for name in names)
    assert {name.partition("/")[0] for name in names - described} == PACKAGES.keys()


def test_the_program_of_the_wheel_runs(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        (points,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert "deepfl = deepfl.program:main" in archive.read(points).decode()
    program = (
        "import deepfl, mtl.runtime.extras as extras; print(deepfl.__file__, extras.__file__);"
        "import deepfl.program; print(deepfl.program.main(['--version']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    site = tmp_path / "site"
    assert done.stdout.splitlines() == [
        f"{site}/deepfl/__init__.py {site}/mtl/runtime/extras.py",
        f"deepfl {deepfl.__version__}",
        "0",
    ]


def test_an_older_python_is_refused_at_once(tmp_path):
    program = (
        "import runpy, setuptools, sys;"
        " sys.version_info = (3, 10, 13); sys.version = '3.10.13 (x)';"
        f" runpy.run_path({str(ROOT / 'setup.py')!r})"
    )
    refused = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    message = "deepfl-iqa needs Python 3.11 or newer; this is 3.10.13\n"
    assert (refused.returncode, refused.stderr) == (1, message)
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()
    old = tmp_path / "python3.10"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    refused = subprocess.run(
        ["make", "demo", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 2
    assert f"{old} is not Python 3.11 or newer: make PYTHON=/path/to/python3.11" in refused.stdout
    assert not (tmp_path / "venv").exists()
