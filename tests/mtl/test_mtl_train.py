"""Training: batches, resuming, the log, and what is refused."""

import json
import shutil

import cv2
import numpy as np
import pytest

from mtl.files import InputError
from mtl.input_pipeline import ScoredImages, training_batches, validation_batches
from mtl.kadis.generate import generate
from mtl.kadis.plan import GenerateConfig
from mtl.train import TrainConfig, read_log, train
from mtl.weights import load_model

CROP = (80, 80)


@pytest.fixture(scope="module")
def data(tmp_path_factory, sample):
    """Four photographs in twenty small versions, scored with two metrics."""
    root = tmp_path_factory.mktemp("train")
    (root / "photographs").mkdir()
    for name in ("chelsea", "china", "coffee", "flower"):
        cv2.imwrite(str(root / "photographs" / f"{name}.png"), sample[name][..., ::-1])
    generate(
        GenerateConfig(
            root / "photographs", root / "kadis", size=(80, 96), metrics=("ssim", "gmsd"), shards=2
        )
    )
    return root / "kadis"


def config(data, out, **changes) -> TrainConfig:
    settings = {"epochs": 2, "batch_size": 4, "crop": CROP, "momentum": 0.5, **changes}
    return TrainConfig(data, out, **settings)


def test_batches_depend_on_seed_and_epoch_alone(data):
    images = ScoredImages(data, "train", ("ssim", "gmsd"), None)

    def order(seed, epoch):
        batches = training_batches(
            images, batch_size=4, crop=CROP, flip=True, seed=seed, epoch=epoch
        )
        return [(b.images, b.targets) for b in batches]

    first, again = order(0, 0), order(0, 0)
    assert len(first) == len(images) // 4
    for (a, s), (b, t) in zip(first, again, strict=True):
        assert a.shape == (4, *CROP, 3) and a.dtype == np.uint8
        assert np.array_equal(a, b) and np.array_equal(s, t)
    targets = np.concatenate([t for _, t in first])
    for seed, epoch in ((0, 1), (1, 0)):
        assert not np.array_equal(targets, np.concatenate([t for _, t in order(seed, epoch)]))


def test_an_epoch_sees_every_image_once(data):
    images = ScoredImages(data, "train", ("ssim",), None)
    whole = training_batches(images, batch_size=5, crop=None, flip=False, seed=0, epoch=0)
    seen = sorted(image.tobytes() for batch in whole for image in batch.images)
    assert seen == sorted(images[k]["image"].tobytes() for k in range(len(images)))


def test_validation_keeps_the_order_and_fills_the_last_batch(data):
    images = ScoredImages(data, "validation", ("ssim",), None)
    batches = list(validation_batches(images, batch_size=3, crop=CROP))
    assert [b.number for b in batches] == [3, 2]
    assert all(b.images.shape == (3, *CROP, 3) for b in batches)
    centre = images[4]["image"][:, 8:88]
    assert np.array_equal(batches[1].images[1], centre)
    assert np.array_equal(batches[1].images[2], centre)


def test_targets_are_the_equalised_scores(data):
    from fr_metrics import HistogramEqualization

    equalization = HistogramEqualization.from_json((data / "equalization.json").read_text())
    raw = ScoredImages(data, "train", ("ssim", "gmsd"), None)
    flat = ScoredImages(data, "train", ("ssim", "gmsd"), equalization)
    columns = {m: np.array([raw[k]["target"][j] for k in range(len(raw))], np.float64)
               for j, m in enumerate(("ssim", "gmsd"))}  # fmt: skip
    expected = equalization.transform(columns)
    for j, metric in enumerate(("ssim", "gmsd")):
        targets = [flat[k]["target"][j] for k in range(len(flat))]
        np.testing.assert_allclose(targets, expected[metric], atol=1e-5)
        assert 0 <= min(targets) < 0.2 and 0.8 < max(targets) <= 1


def test_a_stopped_run_ends_in_the_same_weights_as_an_uninterrupted_one(data, tmp_path):
    whole = train(config(data, tmp_path / "whole"))
    assert [row["epoch"] for row in whole.log] == [1, 2] and whole.resumed_at == 0
    assert all(np.isfinite(v) for row in whole.log for k, v in row.items() if "loss" in k)
    assert {"srocc_ssim", "plcc_gmsd", "mean_srocc"} <= whole.log[0].keys()

    train(config(data, tmp_path / "parts", epochs=1))
    shutil.move(tmp_path / "parts", tmp_path / "moved")
    parts = train(config(data, tmp_path / "moved"))
    assert parts.resumed_at == 1
    for a, b in zip(whole.log, parts.log, strict=True):
        for name in ("train_loss", "validation_loss"):
            assert a[name] == b[name]
    one, two = load_model(tmp_path / "whole"), load_model(tmp_path / "moved")
    assert all(np.array_equal(one.weights[n], two.weights[n]) for n in one.weights)

    # The kept model is that of the best epoch, and says so.
    notes = json.loads((tmp_path / "whole" / "model" / "model.json").read_text())["notes"]
    best = min(whole.log, key=lambda row: row["validation_loss"])
    assert notes["row"]["epoch"] == best["epoch"]

    done = train(config(data, tmp_path / "whole"))
    assert done.resumed_at == 2 and done.log == read_log(tmp_path / "whole")
    with pytest.raises(InputError, match="another learning_rate"):
        train(config(data, tmp_path / "whole", learning_rate=1.0))

    # Starting from a model takes its weights: Adam moves each by about its rate per step; random
    # ones of another seed would be a hundred times further away.
    started = load_model(
        train(config(data, tmp_path / "init", init=str(tmp_path / "whole"), epochs=1, seed=9)).out
    )
    for name in ("body/conv_7b/conv/kernel", "heads/gmsd/fc1/kernel"):
        moved = np.abs(started.weights[name] - one.weights[name]).max()
        assert 0 < moved < 4 * 3e-4, name


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tasks": ("vsi",)}, "vsi: .* is scored with ssim gmsd only"),
        ({"crop": (200, 200)}, "cannot be cut from 80×96"),
        ({"crop": (60, 60)}, "below the network's 75×75"),
        ({"batch_size": 500}, "fewer than a batch"),
        ({"learning_rate": 0.0}, "must be positive"),
        ({"momentum": 1.0}, "between 0 and 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(data, tmp_path, changes, problem):
    with pytest.raises(InputError, match=problem):
        train(config(data, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_what_is_no_data_set_is_said(tmp_path, data):
    with pytest.raises(InputError, match="is not a data set"):
        train(config(tmp_path, tmp_path / "run"))
    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    manifest = json.loads((broken / "manifest.json").read_text())
    (broken / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    with pytest.raises(InputError, match="is unfinished"):
        train(config(broken, tmp_path / "run"))
    (broken / "manifest.json").write_text(json.dumps(manifest))
    (broken / "equalization.json").write_text("{}")
    with pytest.raises(InputError, match=r"equalization\.json"):
        train(config(broken, tmp_path / "run"))


def test_a_loss_that_is_not_finite_stops_with_advice(data, tmp_path, monkeypatch):
    monkeypatch.setattr(ScoredImages, "__getitem__", lambda self, k: {
        "image": np.zeros((80, 96, 3), np.uint8), "target": np.full(2, np.nan, np.float32)
    })  # fmt: skip
    with pytest.raises(FloatingPointError, match="at step 1; try a smaller --learning-rate"):
        train(config(data, tmp_path / "run"))
