"""Codebooks in a benchmark: learned from each split's training part, and never from another."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepfl.program import main
from mlsp.baselines import BASELINES
from mlsp.baselines.codebooks import LocalDescriptors, encoded
from mlsp.databases import Database, open_database
from mlsp.evaluation.benchmark_config import BenchmarkConfig
from mlsp.evaluation.benchmark_methods import CodebookMethod, Method
from mlsp.evaluation.benchmark_run import run_benchmark
from mlsp.evaluation.benchmarking import Rated, compare_methods, random_splits
from mlsp.evaluation.learning_curve import learning_curve, nested_splits
from mlsp.regression import SVRSettings
from mlsp.report.benchmark_tables import is_own
from mtl.evaluation.saved_splits import read_splits
from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture

SEED = 7


@pytest.fixture
def table(rated, tmp_path) -> Path:
    """The rated pictures without their pristine ones."""
    lines = [line.split(",")[:3] for line in rated.read_text().splitlines()[1:]]
    rows = [f"{rated.parent}/{name},{score},{reference}" for name, score, reference in lines]
    (tmp_path / "table.csv").write_text("\n".join(["image,score,reference", *rows, ""]))
    return tmp_path / "table.csv"


def digests(codebook, database: Database, rows) -> list[str]:
    """What the codebook remembers of some pictures."""
    describe = BASELINES[codebook.name].describe
    paths = [database.root / database.names[row] for row in rows]
    return sorted(codebook.digest(describe(read_picture(path))) for path in paths)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("quick_features")
def test_the_command_learns_from_training_pictures_alone(table, tmp_path, patch_codebook, capsys):
    out = tmp_path / "out"
    # A model of the same name as a method.
    options = ["--repetitions", "2", "--seed", str(SEED), "--baseline", "patches", "brisque"]
    model = str(tmp_path / "patches")
    assert main(["benchmark", str(table), "--model", model, "--out", str(out), *options]) == 0
    database = open_database(table)
    splits = read_splits(
        out / "splits" / "table-random.json", database.names, database.references
    ).splits
    assert len(splits) == 2 and set(splits[0].train) != set(splits[1].train)
    assert patch_codebook.shown == [
        (SEED + k, digests(patch_codebook, database, split.train)) for k, split in enumerate(splits)
    ]
    outside = np.concatenate([splits[0].validation, splits[0].test])
    assert not set(patch_codebook.shown[0][1]) & set(digests(patch_codebook, database, outside))
    methods = ["patches-2 svr", "patches svr", "brisque svr"]
    assert [row["method"] for row in rows_of(out / "summary.csv")] == methods
    assert [is_own({"method": method}) for method in methods] == [True, False, False]
    assert "patches svr" in capsys.readouterr().out
    kept = {path.name for path in (out / "baselines" / "table").iterdir()}
    assert kept == {"patches.csv", "brisque.csv"}
    # The same settings give the same numbers.
    before = (out / "repetitions.csv").read_bytes()
    config = BenchmarkConfig(
        (table,), out, (tmp_path / "patches",), repetitions=2, seed=SEED,
        baseline=("patches", "brisque"),
    )  # fmt: skip
    run_benchmark(config)
    assert (out / "repetitions.csv").read_bytes() == before
    assert patch_codebook.shown[2:] == patch_codebook.shown[:2]


@pytest.fixture
def database(table) -> Database:
    return open_database(table)


def test_predictions_are_those_of_each_splits_vectors(database, patch_codebook):
    pictures = LocalDescriptors("patches", database.source(), np.arange(len(database)))
    other = LocalDescriptors("patches", database.source(), np.arange(0, len(database), 7))
    rated = Rated(database.scores, others={"other": database.scores[::7]})
    splits = random_splits(database.references, 2, seed=0)
    method = CodebookMethod("patches svr", pictures, SVRSettings((1.0, 10.0)), {"other": other})
    outcomes = method.train_and_test(rated.scores, splits, seed=SEED)
    found = compare_methods([method], rated, splits, seed=SEED)
    for number, (split, outcome) in enumerate(zip(splits, outcomes, strict=True)):
        encoder = BASELINES["patches"].fit([pictures[row] for row in split.train], SEED + number)
        vectors = encoded(pictures, np.arange(len(database)), encoder)
        alone = Method("alone", vectors, method.settings, {"other": vectors[::7]})
        (expected,) = alone.train_and_test(rated.scores, [split], seed=SEED + number)
        np.testing.assert_allclose(outcome.predicted, expected.predicted, rtol=1e-6)
        np.testing.assert_allclose(outcome.others[0], expected.others[0], rtol=1e-6)
        assert found.repetitions[number]["chosen"] == expected.chosen
    assert found.cross[0]["tested_on"] == "other" and found.cross[0]["pictures"] == len(other)
    median, predicted = found.median_tests["patches svr"]
    assert any(median is split for split in splits) and len(predicted) == len(median.test)


def test_a_learning_curve_learns_from_its_part_of_the_training_pictures(database, patch_codebook):
    pictures = LocalDescriptors("patches", database.source(), np.arange(len(database)))
    splits = random_splits(database.references, 2, seed=0)
    sizes = (10, 30)
    method = CodebookMethod("patches svr", pictures, SVRSettings((1.0,)))
    rows = learning_curve(
        [method], Rated(database.scores), database.references, splits, sizes, seed=SEED
    )
    assert [row["training"] for row in rows] == [10, 10, 30, 30]
    nested = [
        nested_splits(split, database.references, sizes, seed=SEED, repetition=k)
        for k, split in enumerate(splits)
    ]
    expected = [
        (SEED + k, digests(patch_codebook, database, parts[place].train))
        for place in range(len(sizes))
        for k, parts in enumerate(nested)
    ]
    assert patch_codebook.shown == expected


@pytest.mark.usefixtures("quick_features")
def test_pictures_that_a_codebook_cannot_use_are_left_out(table, tmp_path, patch_codebook, capsys):
    (tmp_path / "no.png").write_bytes(b"no picture")
    table.write_text(table.read_text() + "no.png,3,alone\n")
    config = BenchmarkConfig(
        (table,), tmp_path / "out", (tmp_path / "a",), repetitions=1, baseline=("patches",)
    )
    (tested,) = run_benchmark(config, progress=True)
    assert len(tested.names) == 60 and "left out: no.png" in capsys.readouterr().err
    assert [row["method"] for row in tested.result.summary] == ["a svr", "patches svr"]


@pytest.mark.parametrize(
    ("baseline", "problem"),
    [
        (("brisk",), "--baseline brisk: is no conventional method; known are brisque"),
        (("brisque", "brisque"), "--baseline: give none of them twice"),
    ],
)
def test_methods_that_are_not_known_are_refused(table, tmp_path, baseline, problem):
    config = BenchmarkConfig((table,), tmp_path / "out", (tmp_path / "a",))
    with pytest.raises(InputError, match=problem):
        run_benchmark(replace(config, baseline=baseline))
    assert not (tmp_path / "out").exists()
