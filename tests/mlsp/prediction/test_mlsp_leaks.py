"""Pictures that a model was trained on do not test it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mlsp.evaluation.benchmark_config import BenchmarkConfig
from mlsp.evaluation.benchmark_run import run_benchmark
from mlsp.prediction.leaks import unrecorded
from mtl.evaluation.saved_splits import write_splits
from mtl.evaluation.seen import SeenRatings, read_seen, write_seen
from mtl.evaluation.splits import Split, split_by_group
from mtl.network.weights import model_folder
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table

pytestmark = pytest.mark.usefixtures("quick_features")


@pytest.fixture
def own_split(rated) -> Split:
    rows = read_table(rated, ("image", "reference"))
    return split_by_group([row["reference"] for row in rows], seed=5, repetition=0)


@pytest.fixture
def run(rated, own_split, tmp_path) -> Path:
    """A run of fine-tuning that has seen the training and the validation part of a split."""
    rows = read_table(rated, ("image", "reference"))
    names, references = ([row[column] for row in rows] for column in ("image", "reference"))
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    pictures = {
        content_digest(rated.parent / names[row]): part
        for part, part_rows in (("training", own_split.train), ("validation", own_split.validation))
        for row in part_rows
    }
    write_seen(model, [SeenRatings("ratings.csv", "0" * 64, pictures)])
    write_splits(
        tmp_path / "run" / "splits.json", [own_split], names, references, database="ratings"
    )
    return model


def config(rated, tmp_path, *models, **changes) -> BenchmarkConfig:
    plain = BenchmarkConfig((rated,), tmp_path / "out", models, repetitions=2, baselines=False)
    return replace(plain, **changes)


def test_a_model_is_not_tested_on_what_it_was_trained_on(rated, tmp_path, run):
    with pytest.raises(InputError) as refused:
        run_benchmark(config(rated, tmp_path, run))
    text = str(refused.value)
    assert "run was trained on" in text and "by ratings.csv" in text
    assert f"--splits {tmp_path / 'run' / 'splits.json'}" in text
    assert not (tmp_path / "out").exists()  # before anything is described


def test_the_runs_own_split_is_the_remedy(rated, tmp_path, run, own_split):
    own = config(rated, tmp_path, run, splits=tmp_path / "run" / "splits.json")
    (tested,) = run_benchmark(own)
    ((split, _),) = tested.result.median_tests.values()
    assert split.test.tolist() == own_split.test.tolist()
    # The model for use is fitted to all pictures, and says so.
    (network, regressor) = read_seen(tmp_path / "out" / "model")
    assert network == read_seen(run)[0]
    assert regressor.table == "ratings.csv" and len(regressor.pictures) == 60
    assert set(regressor.pictures.values()) == {"training", "validation"}
    # So the next benchmark with it has no test part left.
    with pytest.raises(InputError, match="leave the model out"):
        run_benchmark(config(rated, tmp_path, tmp_path / "out" / "model", out=tmp_path / "next"))


def test_copies_under_other_names_are_known(rated, tmp_path, run):
    moved = tmp_path / "moved"
    moved.mkdir()
    lines = rated.read_text().splitlines()
    for number, line in enumerate(lines[1:]):
        shutil.copyfile(rated.parent / line.split(",")[0], moved / f"{number}.png")
    rows = [f"{n}.png,{','.join(line.split(',')[1:3])}" for n, line in enumerate(lines[1:])]
    (moved / "mine.csv").write_text("\n".join(["image,score,reference", *rows, ""]))
    with pytest.raises(InputError, match="test it on"):
        run_benchmark(config(moved / "mine.csv", tmp_path, run))


def test_other_models_and_other_pictures_are_not_refused(rated, tmp_path, run):
    record = json.loads((run / "seen.json").read_text())
    record["ratings"][0]["pictures"] = {"f" * 64: "training"}
    (run / "seen.json").write_text(json.dumps(record))
    (tested,) = run_benchmark(config(rated, tmp_path, run))
    assert len(tested.splits) == 2


def test_a_database_that_others_are_tested_on_as_a_whole(rated, tmp_path, run):
    other = tmp_path / "other.csv"
    lines = rated.read_text().splitlines()
    rows = [f"{rated.parent}/{','.join(line.split(',')[:3])}" for line in lines[1:]]
    other.write_text("\n".join(["image,score,reference", *rows, ""]))
    own = config(rated, tmp_path, run, ratings=(rated, other))
    with pytest.raises(InputError, match="several databases are each tested as a whole"):
        run_benchmark(own)


def test_lines_about_look_alikes_and_shared_pictures(rated, tmp_path, capsys):
    alone = tmp_path / "alone.csv"
    lines = rated.read_text().splitlines()
    rows = [f"{rated.parent}/{','.join(line.split(',')[:2])}" for line in lines[1::4]]
    alone.write_text("\n".join(["image,score", *rows, ""]))
    run_benchmark(config(rated, tmp_path, tmp_path / "a", ratings=(alone, rated)), progress=True)
    said = capsys.readouterr().err.splitlines()
    (look_alikes,) = [line for line in said if "look like others" in line]
    assert look_alikes.startswith(f"{alone}: ") and "add a column reference" in look_alikes
    (shared,) = [line for line in said if "share" in line and "flatters" in line]
    assert "share 15 pictures" in shared


def test_a_hint_is_given_only_where_it_helps(rated, tmp_path, run):
    for changes in ({"protocol": ("random", "opposing")}, {}):
        own = config(rated, tmp_path, run, **changes)
        if changes:
            alone = tmp_path / "alone.csv"
            lines = rated.read_text().splitlines()
            rows = [f"{rated.parent}/{','.join(line.split(',')[:2])}" for line in lines[1:]]
            alone.write_text("\n".join(["image,score", *rows, ""]))
            own = replace(own, ratings=(alone,))
        with pytest.raises(InputError, match="was trained on") as refused:
            run_benchmark(own)
        assert ("--splits" in str(refused.value)) == (not changes)
    with pytest.raises(InputError, match="was trained on") as refused:
        run_benchmark(config(rated, tmp_path, run), offer_splits=False)  # as compare-schemes does
    assert "--splits" not in str(refused.value)


def test_a_model_of_human_scores_without_a_record_is_named(rated, tmp_path, capsys):
    model = tmp_path / "old"
    model.mkdir()
    (model / "regressor.npz").write_bytes(b"of an older version")
    assert unrecorded(model)
    run_benchmark(config(rated, tmp_path, model), progress=True)
    assert "old: does not say which pictures it was trained on" in capsys.readouterr().err
    write_seen(model, [])
    assert not unrecorded(model)
    assert not unrecorded(model_folder("deepfl-small"))


def test_look_alikes_among_pictures_without_a_reference(rated, tmp_path, capsys):
    some = tmp_path / "some.csv"
    lines = rated.read_text().splitlines()
    rows = [
        f"{rated.parent}/{','.join(line.split(',')[:2])},{line.split(',')[2] if k < 40 else ''}"
        for k, line in enumerate(lines[1:])
    ]
    some.write_text("\n".join(["image,score,reference", *rows, ""]))
    run_benchmark(config(some, tmp_path, tmp_path / "a"), progress=True)
    said = [line for line in capsys.readouterr().err.splitlines() if "look like others" in line]
    assert len(said) == 1 and ": 20 pictures look like" in said[0]


def test_random_splits_test_every_picture_sooner_or_later(rated, tmp_path, run):
    """One split may miss the pictures that were seen; another seed, or a bad picture, may not."""
    record = json.loads((run / "seen.json").read_text())
    (digest, *_) = record["ratings"][0]["pictures"]
    record["ratings"][0]["pictures"] = {digest: "training"}
    (run / "seen.json").write_text(json.dumps(record))
    for seed in range(4):
        with pytest.raises(InputError, match="was trained on 1 pictures that the random splits"):
            run_benchmark(config(rated, tmp_path, run, repetitions=1, seed=seed))
