"""Training the network itself, what a run leaves behind, and what is refused."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from small_network import small_run
from tensorboardX.proto.event_pb2 import Event

from mtl.network.weights import load_model
from mtl.runtime.files import InputError
from mtl.training.multitask.train import TrainConfig, train


def test_the_network_learns_and_starts_from_a_model(scored, untrained, tmp_path, capsys):
    settings = {"epochs": 1, "batch_size": 4, "crop": (80, 80), "momentum": 0.5, "width": 0.125}
    config = TrainConfig(scored, tmp_path / "run", init=str(untrained), seed=9, **settings)
    run = train(config, progress=True)
    (row,) = run.log
    assert np.isfinite([row["train_loss"], row["validation_loss"], row["mean_srocc"]]).all()
    told = capsys.readouterr().err
    for what in ("building the network", "compiling the training step", "compiling the validation"):
        assert f"{what} ...\n" in told and f"{what}: " in told
    assert "epoch 1/1: train loss" in told and "img/s" in told

    # The export is whole: network, scaling, metrics, equalisation, settings, versions.
    model = load_model(tmp_path / "run")
    assert model.config.metrics == ("ssim", "gmsd") and model.equalization is not None
    notes = json.loads((run.model / "model.json").read_text())["notes"]
    assert notes["row"]["epoch"] == 1 and notes["training"]["batch_size"] == 4
    assert {"deepfl-iqa", "jax", "flax", "optax", "numpy"} <= notes["versions"].keys()

    assert model.config.width == 0.125
    with pytest.raises(InputError, match=r"has the width 0\.125, not 1\.0; give --width 0\.125"):
        train(TrainConfig(scored, tmp_path / "wide", init=str(tmp_path / "run"), batch_size=4))

    # Starting from a model takes its weights: Adam moves each by about its rate per step; random
    # ones of another seed would be a hundred times further away.
    given = load_model(untrained)
    for name in ("body/conv_7b/conv/kernel", "heads/gmsd/fc1/kernel"):
        moved = np.abs(model.weights[name] - given.weights[name]).max()
        assert 0 < moved < 4 * 3e-4, name


def test_a_run_leaves_a_table_events_and_a_picture(scored, tmp_path):
    run = small_run(scored, tmp_path / "run", batch_size=1)
    with (run.out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = {f"{kind}_{m}" for kind in ("srocc", "plcc") for m in ("ssim", "gmsd", "mean")}
    names = {n.replace("srocc_mean", "mean_srocc").replace("plcc_mean", "mean_plcc") for n in names}
    others = {"epoch", "train_loss", "validation_loss", "images_per_second"}
    assert [set(row) for row in rows] == [names | others] * 2
    picture = cv2.imread(str(run.out / "learning.png"))
    assert picture.shape[1] > 800 and picture.std() > 10
    values = events(run.out / "tensorboard")
    for row, step in zip(run.log, (15, 30), strict=True):
        assert values["loss/validation", step] == pytest.approx(row["validation_loss"])
        assert values["loss/train", step] == pytest.approx(row["train_loss"])
        assert values["plcc/gmsd", step] == pytest.approx(row["plcc_gmsd"], nan_ok=True)
        assert values["srocc/mean", step] == pytest.approx(row["mean_srocc"], nan_ok=True)
    assert ("loss/step", 20) in values


def events(folder) -> dict[tuple[str, int], float]:
    """The scalars of a folder of event files: each record has its length, two sums, and itself."""
    values = {}
    for path in sorted(folder.iterdir()):
        data, place = path.read_bytes(), 0
        while place < len(data):
            length = int.from_bytes(data[place : place + 8], "little")
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += 12 + length + 4
            for value in event.summary.value:
                values[value.tag, event.step] = value.simple_value
    return values


def test_one_task_and_raw_scores(scored, tmp_path):
    run = small_run(scored, tmp_path / "run", epochs=1, tasks=("gmsd",), equalize="off")
    assert "srocc_gmsd" in run.log[0] and "srocc_ssim" not in run.log[0]
    assert not (run.model / "equalization.json").exists()
    description = json.loads((run.model / "model.json").read_text())
    assert description["config"]["metrics"] == ["gmsd"] and not description["equalized"]


def test_imagenet_weights_have_to_be_imported_first(scored, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="run `deepfl import-keras imagenet` once"):
        small_run(scored, tmp_path / "run", init="imagenet")
    with pytest.raises(InputError, match="gone: no such folder"):
        small_run(scored, tmp_path / "run", init="gone")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tasks": ("vsi",)}, "vsi: .* is scored with ssim gmsd only"),
        ({"crop": (200, 200)}, "cannot be cut from 80×96"),
        ({"crop": (60, 60)}, "below the network's 75×75"),
        ({"batch_size": 500}, "fewer than a batch"),
        ({"learning_rate": 0.0}, "must be positive"),
        ({"momentum": 1.0}, "between 0 and 1"),
        ({"ema": 1.0}, "--ema 1.0: must be from 0"),
        ({"accumulate": 3}, "--accumulate 3: must divide the --batch-size 4"),
        ({"weight_decay": -1.0}, "must not be negative"),
        ({"checkpoints_kept": 0}, "must be positive"),
        ({"num_workers": 0}, "--num-workers must be positive"),
        ({"num_workers": 2, "distributed": True}, "were not started by it"),
        ({"address": "auto"}, "how many processes to start there"),
    ],
)
def test_settings_that_cannot_work_are_refused(scored, tmp_path, changes, problem):
    with pytest.raises(InputError, match=problem):
        small_run(scored, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_what_is_no_data_set_is_said(tmp_path, scored):
    with pytest.raises(InputError, match="is not a data set"):
        small_run(tmp_path, tmp_path / "run")
    broken = tmp_path / "broken"
    shutil.copytree(scored, broken)
    manifest = json.loads((broken / "manifest.json").read_text())
    (broken / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    with pytest.raises(InputError, match="is unfinished"):
        small_run(broken, tmp_path / "run")
    (broken / "manifest.json").write_text(json.dumps(manifest))
    (broken / "equalization.json").write_text("{}")
    with pytest.raises(InputError, match=r"equalization\.json"):
        small_run(broken, tmp_path / "run")


@pytest.mark.parametrize("at", [1, 5])
def test_a_loss_that_is_not_finite_stops_at_its_step(scored, tmp_path, monkeypatch, at):
    from mtl.training.distribution import Placement

    shared, steps = Placement.shared, []

    def spoiled(self, rows):
        if rows.dtype == np.float32:  # the targets
            steps.append(rows)
            if len(steps) == at:
                rows = np.full_like(rows, np.nan)
        return shared(self, rows)

    monkeypatch.setattr(Placement, "shared", spoiled)
    advice = f"nan at step {at}; try a smaller --learning-rate or --equalize on"
    with pytest.raises(FloatingPointError, match=advice):
        small_run(
            scored, tmp_path / "run", batch_size=2, equalize="off", checkpoint_every=2, epochs=1
        )
    kept = [int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert sorted(kept) == [step for step in (2, 4) if step < at]
    # Where nothing was saved, the advice can be followed in the same folder.
    monkeypatch.setattr(Placement, "shared", shared)
    if kept:
        with pytest.raises(InputError, match="another learning_rate"):
            small_run(scored, tmp_path / "run", batch_size=2, equalize="off", learning_rate=1e-5)
    else:
        small_run(scored, tmp_path / "run", batch_size=2, equalize="off", learning_rate=1e-5)
