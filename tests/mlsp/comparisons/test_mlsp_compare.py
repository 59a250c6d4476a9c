"""The comparisons of learning schemes and of tasks, with a small network and quick features."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from small_network import SmallBody

from mlsp.comparisons.schemes_and_tasks import (
    SchemesConfig,
    TasksConfig,
    compare_schemes,
    compare_tasks,
)
from mtl.runtime.files import InputError
from mtl.training.multitask.config import read_config
from mtl.training.multitask.train import TrainConfig, train
from mtl.training.opinions import finetune as finetuning

pytestmark = pytest.mark.usefixtures("quick_features")


@pytest.fixture(scope="module")
def run(scored, tmp_path_factory):
    """A multi-task run of two metrics."""
    config = TrainConfig(
        scored, tmp_path_factory.mktemp("runs") / "multi", epochs=1, batch_size=4, momentum=0.9
    )
    return train(config, body=SmallBody).out


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tasks_alone_are_trained_as_the_run_was(rated, run, tmp_path):
    out = tmp_path / "out"
    config = TasksConfig(rated, run, out, ("gmsd",), "svr", repetitions=2)
    tested = compare_tasks(config, body=SmallBody)
    methods = [row["method"] for row in rows_of(out / "summary.csv")]
    assert methods == ["multi-task (2 metrics)", "single-task (GMSD)"]
    alone, all_ = read_config(out / "runs" / "gmsd"), read_config(run)
    assert alone.tasks == ("gmsd",) and alone.batch_size == all_.batch_size
    assert (alone.data, alone.momentum, alone.seed) == (all_.data, all_.momentum, all_.seed)
    splits = [split for split, _ in tested.result.median_tests.values()]
    assert len(splits) == 2
    assert cv2.imread(str(out / "scatter-ratings-random.png")) is not None
    with pytest.raises(InputError, match="was trained for gmsd alone"):
        compare_tasks(TasksConfig(rated, out / "runs" / "gmsd", tmp_path / "x"), body=SmallBody)
    with pytest.raises(InputError, match="--tasks nothing"):
        compare_tasks(TasksConfig(rated, run, tmp_path / "x", ("nothing",)), body=SmallBody)
    with pytest.raises(InputError, match="--seed -1"):
        compare_tasks(TasksConfig(rated, run, tmp_path / "x", seed=-1), body=SmallBody)
    assert not (tmp_path / "x").exists()  # said before anything is trained


def test_four_schemes_on_the_same_splits(rated, run, tmp_path, monkeypatch):
    # The weights are a small network's, which the real one's loader would refuse.
    monkeypatch.setattr(finetuning, "starting_model", lambda init, network: None)
    out, other = tmp_path / "out", tmp_path / "other"
    shutil.copytree(run, other)
    config = SchemesConfig(
        rated, run, out, str(other), "svr", repetitions=2, finetune_repetitions=1,
        stages=((1e-3, 1),), batch_size=8, momentum=0.9, size=(96, 96),
    )  # fmt: skip
    tested = compare_schemes(config, body=SmallBody)
    rows = rows_of(out / "summary.csv")
    assert [(row["method"], row["repetitions"]) for row in rows] == [
        ("fine-tune (imagenet)", "1"),
        ("fine-tune (weakly supervised)", "1"),
        ("MLSP (imagenet)", "2"),
        ("MLSP (weakly supervised)", "2"),
    ]
    assert all(float(row["rmse_median"]) > 0 for row in rows)
    # The fine-tuned networks were tested on the first split's test part, and trained on its other.
    table = rows_of(out / "finetune" / "imagenet" / "000" / "ratings.csv")
    split, predicted = tested.result.median_tests["fine-tune (imagenet)"]
    tests = {row["image"] for row in table if row["set"] == "test"}
    assert tests == {str(rated.parent.resolve() / tested.names[k]) for k in split.test}
    assert len(predicted) == len(split.test) and np.isfinite(predicted).all()
    settings = json.loads((out / "finetune" / "imagenet" / "000" / "run/config.json").read_text())
    assert settings["head"] == "linear"


def test_what_cannot_be_compared(rated, run, tmp_path):
    with pytest.raises(InputError, match="--finetune-repetitions"):
        compare_schemes(SchemesConfig(rated, run, tmp_path, repetitions=1, finetune_repetitions=2))
    with pytest.raises(InputError, match="weights that were trained, not `random`"):
        compare_schemes(SchemesConfig(rated, run, tmp_path, imagenet="random"))


def test_ratings_are_read_before_anything_is_trained(run, tmp_path):
    table = tmp_path / "ratings.csv"
    table.write_text("image,DMOS\na.png,4_5\n")
    for options, problem in (({}, "--higher-is better or"), ({"higher_is": "worse"}, "line 2: DM")):
        with pytest.raises(InputError, match=problem):
            compare_tasks(TasksConfig(table, run, tmp_path / "x", **options), body=SmallBody)
    assert not (tmp_path / "x").exists()
