"""Naming distortions by the nearest conditions in feature space."""

import csv
import json
import shutil
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from deepfl.commands import predict as command
from deepfl.commands import train as train_command
from mlsp.features import extract
from mlsp.features.sources import DataSet
from mlsp.prediction import condition_training
from mlsp.prediction.condition_training import add_conditions
from mlsp.prediction.conditions import (
    CONDITIONS_FILE,
    PRISTINE,
    Conditions,
    fit_conditions,
    has_conditions,
    load_conditions,
    save_conditions,
)
from mlsp.prediction.predictor import Prediction, Predictor
from mtl.kadis.generate import generate
from mtl.kadis.plan import GenerateConfig
from mtl.kadis.shards import file_digest
from mtl.network.weights import load_model
from mtl.runtime.files import InputError, read_arrays, write_arrays
from mtl.training.multitask.train import Run, TrainConfig

LENGTH = 2_116
EXTRACT = sys.modules["mlsp.features.extraction"]  # the package has a function of this name


def clusters(rng, per_condition, spread):
    """Features around one point for each of four conditions."""
    known = [PRISTINE, (1, 1), (1, 5), (11, 3)]
    centres = np.random.default_rng(5).normal(size=(len(known), LENGTH))
    rows = [c + spread * rng.normal(size=(per_condition, LENGTH)) for c in centres]
    return np.concatenate(rows), [c for c in known for _ in range(per_condition)]


@pytest.fixture(scope="module")
def fitted():
    features, conditions = clusters(np.random.default_rng(0), 12, 2.0)
    held_out = np.arange(len(conditions)) % 4 == 0
    return fit_conditions(features.astype(np.float16), conditions, held_out, "digest")


def test_pictures_of_known_conditions_are_named(fitted):
    assert fitted.held_out == 12 and fitted.type_accuracy == fitted.level_accuracy == 1
    features, conditions = clusters(np.random.default_rng(1), 3, 2.0)
    shares = fitted.shares(features)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-9)
    assert [fitted.conditions[k] for k in shares.argmax(axis=1)] == conditions
    likely = fitted.likeliest(features[0])
    assert (likely[0].distortion, likely[0].level) == ("pristine", 0)
    assert likely[0].share > 0.9 and len(likely) == 3
    assert likely[0].share >= likely[1].share >= likely[2].share
    (last,) = fitted.likeliest(features[-1], 1)
    assert (last.distortion, last.level) == ("white_noise", 3)


def test_shares_are_as_documented(fitted):
    features, _ = clusters(np.random.default_rng(2), 1, 2.0)
    place = ((features[1] - fitted.mean) / fitted.deviation) @ fitted.components
    distances = ((place - fitted.centroids) ** 2).sum(axis=1)
    expected = np.exp(-(distances - distances.min()) / (2 * fitted.temperature))
    np.testing.assert_allclose(
        fitted.shares(features[1:2])[0], expected / expected.sum(), rtol=1e-3, atol=1e-9
    )


def test_what_cannot_be_told_apart_gets_even_shares_and_a_low_accuracy():
    rng = np.random.default_rng(3)
    conditions = [(1, level) for level in (1, 2, 3, 4, 5) for _ in range(12)]
    features = rng.normal(size=(len(conditions), LENGTH))
    held_out = np.arange(len(conditions)) % 3 == 0
    noise = fit_conditions(features, conditions, held_out, "digest")
    assert noise.level_accuracy < 0.6 and noise.type_accuracy == 1  # there is one type only
    assert noise.shares(features[held_out]).max(axis=1).mean() < 0.6
    assert "guessing among 1 and 5 would give 100% and 20%" in noise.in_words()


def test_accuracy_is_that_of_the_held_out_pictures():
    """A held-out picture of the wrong label lowers it; the learned ones have no say."""
    features, conditions = clusters(np.random.default_rng(0), 8, 1.0)
    held_out = np.arange(len(conditions)) % 4 == 0
    wrong = [(11, 3) if k == 0 else c for k, c in enumerate(conditions)]
    found = fit_conditions(features, wrong, held_out, "digest")
    assert found.level_accuracy == found.type_accuracy == 7 / 8
    with pytest.raises(ValueError, match="one held-out picture"):
        fit_conditions(features, conditions, np.zeros(len(conditions), bool), "digest")
    with pytest.raises(ValueError, match="31 conditions"):
        fit_conditions(features, conditions[1:], held_out, "digest")


@pytest.fixture(scope="module")
def network(untrained, tmp_path_factory):
    return shutil.copytree(untrained, tmp_path_factory.mktemp("network") / "model")


@pytest.fixture
def explaining(network, fitted):
    """The model folder with conditions in it, and what they are."""
    own = replace(fitted, weights_sha256=file_digest(network / "weights.npz"))
    save_conditions(network / CONDITIONS_FILE, own)
    yield network, own
    (network / CONDITIONS_FILE).unlink(missing_ok=True)


def test_a_file_keeps_them(explaining):
    folder, own = explaining
    read = load_conditions(folder)
    assert isinstance(read, Conditions) and list(read.conditions) == list(own.conditions)
    features, _ = clusters(np.random.default_rng(4), 2, 2.0)
    np.testing.assert_allclose(read.shares(features), own.shares(features), atol=2e-3)  # float16
    assert (read.type_accuracy, read.held_out) == (own.type_accuracy, own.held_out)
    assert has_conditions(folder)


def test_a_file_that_cannot_be_trusted_is_refused(explaining, network, fitted):
    path = network / CONDITIONS_FILE
    arrays = read_arrays(path)
    for changes, text in (
        ({"format": np.array(2)}, "another version"),
        ({"weights_sha256": np.array("0")}, "belongs to other weights"),
        ({"components": arrays["components"][:5]}, "is damaged"),
        ({"centroids": arrays["centroids"] * np.nan}, "is damaged"),
        ({"conditions": arrays["conditions"] + 90}, "is damaged"),
        ({"deviation": arrays["deviation"] * 0}, "is damaged"),
        ({"accuracy": np.zeros(3)}, "is damaged"),
    ):
        write_arrays(path, {**arrays, **changes})
        with pytest.raises(InputError, match=rf"{text}.*deepfl conditions DATA --model"):
            load_conditions(network)
        assert not has_conditions(network)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is missing or damaged"):
        load_conditions(network)
    path.unlink()
    with pytest.raises(InputError, match=r"no conditions to explain.*`deepfl conditions DATA"):
        Predictor(network, explain=True)


def test_predict_explains(explaining, sample, tmp_path, capsys):
    folder, own = explaining
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shapes = {"b.png": (90, 80), "a.png": (80, 90), "c.png": (96, 96)}  # one canvas
    for name, (h, w) in shapes.items():
        cv2.imwrite(str(pictures / name), sample["chelsea"][:h, :w, ::-1])
    (pictures / "bad.png").write_text("no picture")
    base = [str(pictures), "--model", str(folder), "--explain"]
    command.main([*base, "--out", str(tmp_path / "q.csv"), "--json", str(tmp_path / "q.json")])
    assert "of 12 held-out pictures the distortion was named for 100%" in capsys.readouterr().err
    written = json.loads((tmp_path / "q.json").read_text())
    assert list(written) == ["format", "model", "scale", "explanation", "pictures", "left_out"]
    assert written["explanation"] == {"held_out": 12, "type_accuracy": 1.0, "level_accuracy": 1.0}
    assert [p["image"] for p in written["pictures"]] == [
        str(pictures / name) for name in ("a.png", "b.png", "c.png")
    ]
    (left,) = written["left_out"]
    assert left["image"] == str(pictures / "bad.png") and "not a picture" in left["reason"]
    with (tmp_path / "q.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, picture in zip(rows, written["pictures"], strict=True):
        assert set(picture["scores"]) == {"ssim", "gmsd"}
        assert float(row["quality"]) == picture["quality"]
        first = picture["conditions"][0]
        assert (row["distortion_1"], int(row["level_1"])) == (first["distortion"], first["level"])
        assert float(row["share_1"]) == first["share"] and len(picture["conditions"]) == 3
    h, w = shapes["a.png"]
    (features,) = extract(load_model(folder), sample["chelsea"][None, :h, :w])
    assert own.likeliest(features, 1)[0].share == pytest.approx(float(rows[0]["share_1"]), abs=5e-3)
    command.main([*base, "--json", "-"])
    assert json.loads(capsys.readouterr().out) == written
    plain = command._described(Predictor(folder), [Prediction("a.png", 1.0, {"ssim": 0.5})], [])
    assert plain["explanation"] is None
    assert plain["pictures"] == [{"image": "a.png", "quality": 1.0, "scores": {"ssim": 0.5}}]


@pytest.fixture(scope="module")
def scored_by_type(tmp_path_factory, sample, local_ray):
    """A data set of two distortions that are easy to tell apart, its pristine crops stored."""
    root = tmp_path_factory.mktemp("by_type")
    (root / "photographs").mkdir()
    for name, image in sample.items():
        for k in range(2):
            cv2.imwrite(str(root / "photographs" / f"{name}{k}.png"), image[:, k * 40 :, ::-1])
    for store in ("recipe", "pixels"):
        generate(
            GenerateConfig(
                root / "photographs",
                root / store,
                recipe="kadid",
                types=("white_noise", "quantization"),
                levels=(1, 5),
                size=(80, 96),
                metrics=("gmsd",),
                validation=0.3,
                shards=2,
                store=store,
            )
        )
    return root


@pytest.fixture
def quick_features(monkeypatch):
    """Features that take no network: how rough a picture is, and of how many values."""

    def extractor(model, kind):
        def run(images, sizes):
            assert sizes is None
            pixels = np.asarray(images, np.float32)
            rough = np.abs(np.diff(pixels, axis=1)).mean(axis=(1, 2, 3))
            values = [len(np.unique(image)) for image in images]
            directions = np.random.default_rng(0).normal(size=(2, LENGTH)).astype(np.float32)
            return np.stack([np.log(rough), np.log(values)], axis=1) @ directions

        return run

    monkeypatch.setattr(EXTRACT, "extractor", extractor)


@pytest.mark.parametrize("store", ["recipe", "pixels"])
def test_a_model_learns_conditions_from_a_data_set(network, scored_by_type, quick_features, store):
    found = add_conditions(network, scored_by_type / store, pictures=8)
    assert list(found.conditions) == [PRISTINE, (11, 1), (11, 5), (22, 1), (22, 5)]
    assert found.held_out == 2 * 5 and found.type_accuracy >= 0.7
    assert load_conditions(network).type_accuracy == found.type_accuracy
    assert not [path for path in network.iterdir() if path.is_dir()]
    (network / CONDITIONS_FILE).unlink()


def test_a_stopped_call_continues_with_the_data_of_now(
    network, scored_by_type, quick_features, tmp_path, monkeypatch
):
    """The features of a stopped call are kept, but not those of pictures that have changed."""
    data = shutil.copytree(scored_by_type / "pixels", tmp_path / "data")
    loaded = []
    load = DataSet.load

    def counted(self, index):
        loaded.append(index)
        return load(self, index)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(DataSet, "load", counted)
    with monkeypatch.context() as patch:
        patch.setattr(condition_training, "save_conditions", killed)
        for number in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                add_conditions(network, data, pictures=3)
            assert (len(loaded) == 0) == (number == 2)
            loaded.clear()
        shard = min((data / "stats").iterdir())
        stats = json.loads(shard.read_text())
        shard.write_text(json.dumps(stats | {"sha256": "0" * 64}))
        with pytest.raises(KeyboardInterrupt):
            add_conditions(network, data, pictures=3)
        assert 0 < len(loaded) == len(set(loaded)) <= len(stats["records"])
        loaded.clear()
    add_conditions(network, data, pictures=3)
    assert not loaded and not [path for path in network.iterdir() if path.is_dir()]
    (network / CONDITIONS_FILE).unlink()


@pytest.mark.parametrize("store", ["recipe", "pixels"])
def test_contents_of_examples_follow_what_their_pixels_come_from(scored_by_type, tmp_path, store):
    photographs = shutil.copytree(scored_by_type / "photographs", tmp_path / "photographs")

    def contents():
        examples = condition_training._Examples(scored_by_type / store, 3, photographs, False)
        numbers = range(len(examples.names))
        return examples.columns, [examples.content(k) for k in numbers]

    columns, before = contents()
    assert len(set(before)) == len(before)
    for path in photographs.iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    _, after = contents()
    changed = {c["distortion"] for c, a, b in zip(columns, after, before, strict=True) if a != b}
    assert changed == (set() if store == "recipe" else {str(PRISTINE[0])})


def test_without_photographs_pristine_is_no_condition(
    network, scored_by_type, quick_features, capsys
):
    source = scored_by_type / "pixels" / "photographs.txt"
    before = source.read_text()
    source.write_text("gone\n")
    found = add_conditions(network, scored_by_type / "pixels", pictures=3, progress=True)
    assert PRISTINE not in found.conditions and len(found.conditions) == 4
    assert "without --photos, pristine is no condition" in capsys.readouterr().err
    given = add_conditions(
        network,
        scored_by_type / "pixels",
        pictures=3,
        photos=scored_by_type / "photographs",
    )
    assert PRISTINE in given.conditions
    source.write_text(before)
    (network / CONDITIONS_FILE).unlink()


def test_training_ends_with_conditions(
    network, scored_by_type, scored, quick_features, monkeypatch, capsys
):
    trained = []

    def train(config, progress):
        trained.append(config)
        return Run(config.out, network, [{"epoch": 1, "validation_loss": 1, "mean_srocc": 0}], 0)

    monkeypatch.setattr(train_command, "train", train)
    for data, options, said in (
        (scored_by_type / "recipe", ["--condition-pictures", "0"], "next: deepfl benchmark"),
        (scored, [], "the model cannot explain: "),
        (scored_by_type / "recipe", ["--condition-pictures", "3"], "held-out pictures"),
    ):
        assert not has_conditions(network)
        train_command.main(["--data", str(data), "--out", "run", *options])
        assert said in capsys.readouterr().err
        assert type(trained[-1]) is TrainConfig  # the run's own settings, nothing else
    before = (network / CONDITIONS_FILE).stat().st_mtime_ns
    train_command.main(["--data", str(scored_by_type / "recipe"), "--out", "run"])
    assert (network / CONDITIONS_FILE).stat().st_mtime_ns == before
    (network / CONDITIONS_FILE).unlink()


def test_a_data_set_with_too_few_pictures_is_refused(network, scored):
    with pytest.raises(InputError, match=r"fewer than 3 training pictures of \d+ of \d+ cond"):
        add_conditions(network, scored)
    with pytest.raises(InputError, match="2 pictures of each condition are too few"):
        add_conditions(network, scored, pictures=2)
    assert not has_conditions(network)
