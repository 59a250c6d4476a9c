"""Splits that cannot be used are refused before a model is read; what was finished stays."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlsp.databases import open_database
from mlsp.evaluation import benchmark_run
from mlsp.evaluation.benchmark_config import BenchmarkConfig
from mlsp.evaluation.benchmark_run import run_benchmark
from mlsp.evaluation.imbalance import ScoreScale, opposing_split
from mtl.evaluation.saved_splits import read_splits
from mtl.evaluation.splits import Split
from mtl.runtime.files import InputError

pytestmark = pytest.mark.usefixtures("quick_features")

Part = Callable[[str, int], str]


@pytest.fixture
def with_sets(rated, tmp_path) -> Callable[[Part], Path]:
    """Writes the rated table with a column `set`, from the reference and the row."""

    def write(part: Part) -> Path:
        lines = rated.read_text().splitlines()
        rows = []
        for number, line in enumerate(lines[1:]):
            name, score, reference = line.split(",")[:3]
            chosen = part(reference, number)
            rows.append(f"{rated.parent}/{name},{score},{reference},{chosen}")
        table = tmp_path / "sets.csv"
        table.write_text("\n".join(["image,score,reference,set", *rows, ""]))
        return table

    return write


def config(table: Path, tmp_path: Path, **changes) -> BenchmarkConfig:
    settings = {"repetitions": 2, "baselines": False, **changes}
    return BenchmarkConfig((table,), tmp_path / "out", (tmp_path / "a",), **settings)


def official(references: list[str]) -> Part:
    """Two references test, the others train; none validates."""
    return lambda reference, _: "test" if reference in references else "training"


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (lambda *_: "training", "the test part has 0 pictures; at least 3"),
        (lambda *_: "validation", "the training part has 0 pictures; at least 3"),
        (lambda _, row: ("training", "test")[row % 2], "in the training and the test set"),
        (
            lambda reference, _: "test" if reference == "china" else "validation",
            "the training part has 0 pictures",
        ),
        (
            lambda reference, _: "training" if reference == "china" else "test",
            "no validation part and too few training pictures",
        ),
    ],
)
def test_official_sets_that_cannot_be_used(with_sets, tmp_path, part, problem):
    with pytest.raises(InputError, match=problem) as refused:
        run_benchmark(config(with_sets(part), tmp_path, protocol=("official",)))
    assert str(refused.value).startswith(str(tmp_path / "sets.csv"))
    assert not (tmp_path / "a").exists() and not (tmp_path / "out").exists()


def test_validation_is_drawn_and_said_and_chooses(with_sets, rated, tmp_path, capsys):
    table = with_sets(official(["china", "coffee"]))
    (tested,) = run_benchmark(config(table, tmp_path, protocol=("official",)), progress=True)
    said = capsys.readouterr().err
    assert "has no validation part; 10 of its 40 training pictures validate instead" in said
    ((split, _),) = tested.result.median_tests.values()
    parts = [{tested.references[row] for row in rows} for rows in (split.train, split.validation)]
    assert len(parts[0]) == 3 and len(parts[1]) == 1 and not parts[0] & parts[1]
    assert {tested.references[row] for row in split.test} == {"china", "coffee"}
    losses = {row["chosen"] for row in tested.result.repetitions}
    assert all(np.isfinite(list(losses)))


def test_another_seed_draws_another_validation_part(with_sets, tmp_path):
    table = with_sets(official(["china", "coffee"]))
    found = set()
    for seed in range(4):
        out = tmp_path / f"out{seed}"
        run_benchmark(config(table, out, protocol=("official",), seed=seed))
        database = open_database(table)
        path = out / "out" / "splits" / "sets-official.json"
        (split,) = read_splits(path, database.names, database.references).splits
        found.add(tuple(split.validation))
    assert len(found) > 1


def test_a_database_with_references_is_not_opposed_after_another(rated, tmp_path):
    alone = tmp_path / "alone.csv"
    lines = rated.read_text().splitlines()[1:]
    rows = [f"{rated.parent}/{','.join(line.split(',')[:2])}" for line in lines]
    alone.write_text("\n".join(["image,score", *rows, ""]))
    both = BenchmarkConfig(
        (alone, rated), tmp_path / "out", (tmp_path / "a",), protocol=("opposing",),
        repetitions=1, baselines=False,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"ratings\.csv: an opposing split .* one reference"):
        run_benchmark(both)
    assert not (tmp_path / "a").exists()  # not even the first was begun


def test_scores_that_are_all_the_same_are_refused_at_once(with_sets, tmp_path):
    table = with_sets(lambda *_: "training")
    rows = [line.split(",") for line in table.read_text().splitlines()]
    text = "\n".join(",".join([row[0], "3", row[2]]) for row in rows[1:])
    table.write_text(f"image,score,reference\n{text}\n")
    with pytest.raises(InputError, match="all scores are 3; there is nothing to learn"):
        run_benchmark(config(table, tmp_path))
    assert not (tmp_path / "a").exists()


def test_names_of_tables_do_not_decide_the_opposing_split(tmp_path, rated):
    lines = rated.read_text().splitlines()[1:]
    rows = [f"{rated.parent}/{','.join(line.split(',')[:2])}" for line in lines]
    found = []
    for name in ("mine.csv", "koniq10k.csv"):
        table = tmp_path / name
        table.write_text("\n".join(["image,score", *rows, ""]))
        out = tmp_path / table.stem
        run_benchmark(config(table, out, protocol=("opposing",), repetitions=1))
        database = open_database(table)
        path = out / "out" / "splits" / f"{table.stem}-opposing.json"
        found += read_splits(path, database.names, database.references).splits
    one, two = found
    for part in ("train", "validation", "test"):
        assert np.array_equal(getattr(one, part), getattr(two, part))


@pytest.mark.parametrize(("low", "high"), [(1.0, 5.0), (0.0, 100.0)])
def test_koniqs_scale_comes_from_its_table(tmp_path, low, high):
    """The published table has MOS of 0..100, the one without the split of 1..5."""
    folder = tmp_path / "koniq"
    (folder / "1024x768").mkdir(parents=True)
    rng = np.random.default_rng(0)
    mos = np.clip(rng.normal(0.6, 0.15, 10073), 0.01, 0.99) * (high - low) + low
    mean = (mos - low) / (high - low) * 4 + 1
    counts = np.round(105 * np.exp(-((np.arange(1, 6) - mean[:, None]) ** 2) / 0.6)) + 1
    with (folder / "koniq10k_scores_and_distributions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_name", *(f"c{n}" for n in range(1, 6)), "c_total", "MOS", "SD"])
        for k, row in enumerate(counts.astype(int).tolist()):
            writer.writerow([f"{k}.jpg", *row, sum(row), f"{mos[k]:.4f}", 0.7])
    database = open_database(folder, check_files=False)
    assert (database.lowest, database.highest) == (low, high)
    # Of 1..5 the deviations of the ratings are on the scores' scale; of 0..100 they are not.
    assert (database.deviations is None) == (high == 100)
    assert bool(database.no_deviations) == (high == 100)
    scale = ScoreScale(database.lowest, database.highest)
    split = opposing_split(database.scores, seed=0, scale=scale)
    means = [database.scores[rows].mean() for rows in (split.train, split.test)]
    assert means[0] > means[1] + 0.05 * (high - low)


def test_a_failure_of_the_next_database_costs_nothing(rated, tmp_path, monkeypatch):
    other = tmp_path / "other.csv"
    lines = rated.read_text().splitlines()
    rows = [f"{rated.parent}/{','.join(line.split(',')[:3])}" for line in lines[1:]]
    other.write_text("\n".join(["image,score,reference", *rows, ""]))
    compare = benchmark_run.compare_methods

    def failing(methods, known, splits, **options):
        if known.deviations is None:  # the second table has no std
            raise InputError("stopped here")
        return compare(methods, known, splits, **options)

    monkeypatch.setattr(benchmark_run, "compare_methods", failing)
    both = BenchmarkConfig(
        (rated, other), tmp_path / "out", (tmp_path / "a",), repetitions=2, baselines=False
    )
    with pytest.raises(InputError, match="stopped here"):
        run_benchmark(both)
    text = (tmp_path / "out" / "summary.csv").read_text()
    assert "ratings,random,a svr" in text and "other,random" not in text
    assert (tmp_path / "out" / "scatter-ratings-random.png").exists()


def test_pictures_of_one_database_that_cannot_be_used_leave_the_others(rated, tmp_path, capsys):
    empty = tmp_path / "empty.csv"
    empty.write_text("image,score,reference\n" + "".join(f"{k}.png,{k},r{k}\n" for k in range(9)))
    both = BenchmarkConfig(
        (rated, empty), tmp_path / "out", (tmp_path / "a",), repetitions=2, baselines=False
    )
    with pytest.raises(InputError, match="can be used"):
        run_benchmark(both, progress=True)
    assert "the others come first" in capsys.readouterr().err
    assert "ratings,random,a svr" in (tmp_path / "out" / "summary.csv").read_text()
    assert (tmp_path / "out" / "model" / "model.json").exists()


def test_a_part_without_usable_pictures_is_named(with_sets, rated, tmp_path):
    table = with_sets(
        lambda reference, _: {"china": "test", "coffee": "validation"}.get(reference, "training")
    )
    moved = tmp_path / "moved.csv"
    moved.write_text(table.read_text().replace(f"{rated.parent}/china", "/gone/china"))
    with pytest.raises(InputError, match="no split has pictures that can be used in all"):
        run_benchmark(config(moved, tmp_path, protocol=("official",)))


def test_splits_of_a_file_are_checked_too(rated, tmp_path):
    database = open_database(rated)
    rows = np.arange(len(database))
    saved = tmp_path / "s.json"
    benchmark_run.write_splits(
        saved, [Split(rows[:50], rows[50:], rows[:0])], database.names, database.references,
        database="x",
    )  # fmt: skip
    with pytest.raises(InputError, match="test part has 0 pictures"):
        run_benchmark(config(rated, tmp_path, splits=saved))
    content = json.loads(saved.read_text())
    assert content["pictures"] == 60


def test_constant_predictions_are_counted_and_in_no_median(rated, tmp_path, monkeypatch, capsys):
    from deepfl.commands import benchmark as command

    fit = benchmark_run.compare_methods

    def blind_once(methods, known, splits, **options):
        found = fit(methods, known, splits, **options)
        assert [row["without_correlation"] for row in found.summary] == [0]
        constant = known.scores.copy()
        constant[splits[1].test] = 2.0
        judged = {"flat": constant}
        return fit([], known, splits, judges=judged, **{k: v for k, v in options.items()
                                                       if k != "judges"})  # fmt: skip

    monkeypatch.setattr(benchmark_run, "compare_methods", blind_once)
    tested = run_benchmark(config(rated, tmp_path, repetitions=3))
    (row,) = tested[0].result.summary
    assert (row["repetitions"], row["without_correlation"]) == (2, 1)
    assert row["srocc_median"] == 1
    command.print_summary(tested)
    assert "flat: 1 of 3 splits have no correlation" in capsys.readouterr().err
    split, _ = tested[0].result.median_tests["flat"]
    assert not np.array_equal(split.test, tested[0].splits[1].test)


def with_bad(rated: Path, folder: Path, good: int) -> Path:
    """A small table of pictures of their own, one of which cannot be read."""
    lines = rated.read_text().splitlines()[1:]
    rows = [f"{rated.parent}/{','.join(line.split(',')[:2])}" for line in lines[:: 60 // good - 1]]
    (folder / "bad.png").write_bytes(b"no picture")
    table = folder / "small.csv"
    table.write_text("\n".join(["image,score", *rows[:good], "bad.png,3", ""]))
    return table


@pytest.mark.parametrize("good", [6, 10])
def test_one_bad_picture_does_not_end_a_small_benchmark(rated, tmp_path, good, capsys):
    table = with_bad(rated, tmp_path, good)
    (tested,) = run_benchmark(config(table, tmp_path, repetitions=10), progress=True)
    assert len(tested.names) == good and len(tested.splits) == 10
    assert "left out: bad.png" in capsys.readouterr().err
    # What was drawn can be used again.
    saved = tmp_path / "out" / "splits" / "small-random.json"
    (again,) = run_benchmark(config(table, tmp_path / "b", repetitions=10, splits=saved))
    for one, two in zip(tested.splits, again.splits, strict=True):
        assert np.array_equal(one.test, two.test) and np.array_equal(one.train, two.train)


def test_a_lost_validation_part_is_drawn_again(with_sets, rated, tmp_path):
    table = with_sets(
        lambda reference, _: {"china": "test", "coffee": "validation"}.get(reference, "training")
    )
    moved = tmp_path / "moved.csv"
    moved.write_text(table.read_text().replace(f"{rated.parent}/coffee", "/gone/coffee"))
    (tested,) = run_benchmark(config(moved, tmp_path, protocol=("official",)))
    ((split, _),) = tested.result.median_tests.values()
    assert len(split.validation) == 10 and len(split.train) == 30 and len(tested.names) == 50


def test_a_learning_curve_of_too_few_pictures_is_refused_at_once(rated, tmp_path):
    table = with_bad(rated, tmp_path, 3)
    with pytest.raises(InputError, match=r"small\.csv: --learning-curve: the smallest training"):
        run_benchmark(config(table, tmp_path, learning_curve=True))
    assert not (tmp_path / "a").exists()


def test_models_are_looked_for_before_pictures_are_read(rated, tmp_path, monkeypatch):
    def gone(folder):
        raise InputError(f"{folder}: no such folder")

    monkeypatch.setattr(benchmark_run, "load_model", gone)
    monkeypatch.setattr(benchmark_run, "content_digests", pytest.fail)
    with pytest.raises(InputError, match="no such folder"):
        run_benchmark(config(rated, tmp_path))


def test_balancing_a_training_part_with_one_score(tmp_path, rated):
    lines = rated.read_text().splitlines()[1:]
    rows = [
        f"{rated.parent}/{line.split(',')[0]},{3 + (k == 0)},{line.split(',')[2]}"
        for k, line in enumerate(lines)
    ]
    table = tmp_path / "almost.csv"
    table.write_text("\n".join(["image,score,reference", *rows, ""]))
    (tested,) = run_benchmark(config(table, tmp_path, repetitions=4, balance=True))
    (row,) = tested.result.summary
    assert row["repetitions"] + row["without_correlation"] == 4
