"""MLSP features: the blocks, extraction, and the feature folder."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from deepfl.program import main
from mlsp.evaluation.benchmarking import Method, fit_for_use
from mlsp.features import extract
from mlsp.features.extraction import extract_to
from mlsp.features.sources import Files, open_source, rated_files
from mlsp.features.store import load_features
from mlsp.prediction.predictor import Predictor
from mlsp.prediction.quality_model import Quality, save_quality_model
from mlsp.regression import SVRSettings
from mtl.evaluation.seen import SeenRatings, write_seen
from mtl.network.inception_resnet_v2 import BLOCKS
from mtl.network.model import ModelConfig
from mtl.network.networks import DEFAULT, NETWORKS
from mtl.network.weights import load_model, save_model
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError


@pytest.fixture(scope="module")
def model(untrained):
    return load_model(untrained)


@pytest.fixture
def pictures(tmp_path, sample):
    """Seven pictures of three sizes, one of them too small and one damaged."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(3):
        cv2.imwrite(str(folder / f"a{k}.png"), sample["chelsea"][k : k + 80, :90, ::-1])
    for k in range(2):
        cv2.imwrite(str(folder / f"b{k}.png"), sample["china"][k : k + 90, :80, ::-1])
    cv2.imwrite(str(folder / "small.png"), sample["china"][:10, :10, ::-1])
    whole = cv2.imencode(".jpg", sample["china"][:80, :90])[1].tobytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


def test_43_blocks_of_16928_channels():
    assert len(BLOCKS) == 43 and len(dict(BLOCKS)) == 43
    assert sum(channels for _, channels in BLOCKS) == NETWORKS[DEFAULT].length == 16_928


def test_features_are_the_averaged_activations_in_the_blocks_order(model, sample):
    image = sample["chelsea"][None, :80, :90]
    features = extract(model, image)
    assert features.shape == (1, 2_116) and features.dtype == np.float32
    activations = model.functional.model(model.weights).activations(image)
    assert list(activations) == [name for name, _ in BLOCKS]
    start = 0
    for name, full in BLOCKS:
        channels = full // 8
        assert activations[name].shape[-1] == channels
        expected = np.asarray(activations[name]).mean(axis=(0, 1, 2))
        np.testing.assert_allclose(
            features[0, start : start + channels], expected, rtol=1e-4, atol=1e-7
        )
        start += channels


def test_extraction_refuses_what_is_not_a_batch_of_pictures(model, sample):
    with pytest.raises(ValueError, match=r"\(n, h, w, 3\)"):
        extract(model, sample["chelsea"])
    assert extract(model, np.zeros((0, 80, 90, 3), np.uint8)).shape == (0, 2_116)


def test_a_folder_is_described_and_what_cannot_be_is_named(model, pictures, tmp_path, sample):
    found = extract_to(model, open_source(pictures), tmp_path / "out")
    assert found.names == ["a0.png", "a1.png", "a2.png", "b0.png", "b1.png"]
    assert set(found.skipped) == {"small.png", "cut.jpg"}
    assert "75×75" in found.skipped["small.png"]
    assert found.matrix.dtype == np.float16 and found.matrix.shape == (5, 2_116)
    alone = extract(model, sample["chelsea"][None, 1:81, :90])[0]
    np.testing.assert_allclose(found.matrix[1], alone, rtol=2e-3, atol=1e-5)  # float16
    assert not (tmp_path / "out" / "partial.npy").exists()
    before = (tmp_path / "out" / "features.npy").stat().st_mtime_ns
    extract_to(model, open_source(pictures), tmp_path / "out")
    assert (tmp_path / "out" / "features.npy").stat().st_mtime_ns == before


def test_a_stopped_extraction_continues(model, pictures, tmp_path):
    whole = extract_to(model, open_source(pictures), tmp_path / "whole")

    class Stopped(Files):
        loaded = 0

        def load(self, index):
            Stopped.loaded += 1
            if Stopped.loaded > 4:  # in the second batch
                raise KeyboardInterrupt
            return super().load(index)

    source = open_source(pictures)
    stopped = Stopped(source.root, source.names, source.columns)
    import mlsp.features.store

    flushes = mlsp.features.store.SECONDS_BETWEEN_FLUSHES
    mlsp.features.store.SECONDS_BETWEEN_FLUSHES = 0.0
    try:
        with pytest.raises(KeyboardInterrupt):
            extract_to(model, stopped, tmp_path / "parts")
    finally:
        mlsp.features.store.SECONDS_BETWEEN_FLUSHES = flushes
    state = json.loads((tmp_path / "parts" / "partial.json").read_text())
    assert 0 < len(state["done"]) < 5
    with pytest.raises(InputError, match="not a finished feature folder"):
        load_features(tmp_path / "parts")
    parts = extract_to(model, source, tmp_path / "parts")
    assert parts.names == whole.names and np.array_equal(parts.matrix, whole.matrix)
    assert parts.skipped == whole.skipped


def test_other_pictures_or_files_are_not_mixed_in(model, pictures, tmp_path):
    extract_to(model, open_source(pictures), tmp_path / "out")
    (pictures / "a0.png").rename(pictures / "c0.png")
    with pytest.raises(InputError, match="of other pictures or of another model"):
        extract_to(model, open_source(pictures), tmp_path / "out")
    rescaled = replace(model, config=replace(model.config, scaling="zero_to_one"))
    (pictures / "c0.png").rename(pictures / "a0.png")
    with pytest.raises(InputError, match="of other pictures or of another model"):
        extract_to(rescaled, open_source(pictures), tmp_path / "out")
    with pytest.raises(InputError, match="not a feature folder"):
        extract_to(model, open_source(pictures), pictures)


def test_when_no_picture_can_be_used_nothing_is_left(model, tmp_path, sample):
    folder = tmp_path / "bad"
    folder.mkdir()
    cv2.imwrite(str(folder / "small.png"), sample["china"][:10, :10])
    with pytest.raises(InputError, match=r"none of the 1 pictures.*small\.png"):
        extract_to(model, open_source(folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    whole = cv2.imencode(".jpg", sample["china"])[1].tobytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="none of the 2 pictures"):
        extract_to(model, open_source(folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_rating_table_names_files_beside_it(tmp_path):
    (tmp_path / "r.csv").write_text("image,score,reference\nx/a.png,3,a\nx/b.png,4,b\n")
    source = rated_files(tmp_path / "r.csv")
    assert source.names == ["x/a.png", "x/b.png"] and source.root == tmp_path
    assert source.columns[1] == {"score": "4", "reference": "b"}
    (tmp_path / "twice.csv").write_text("image,score\na.png,3\na.png,4\n")
    with pytest.raises(InputError, match=r"line 3: a\.png is named more than once"):
        rated_files(tmp_path / "twice.csv")


def test_a_body_without_heads_predicts_with_a_regressor_alone(model, sample, tmp_path):
    config = ModelConfig((), width=0.125)
    body = {name: w for name, w in model.weights.items() if name.startswith("body/")}
    save_model(tmp_path / "body", config, body, None, {})
    with pytest.raises(InputError, match=r"body: is a body without heads and cannot judge; train"):
        Predictor(tmp_path / "body")
    rng = np.random.default_rng(0)
    image = sample["chelsea"][:80, :90]
    (features,) = extract(model, image[None])
    known = features + 0.01 * rng.standard_normal((12, features.size), np.float32)
    scores = np.linspace(1, 5, 12)
    groups = [str(k) for k in range(12)]
    regressor = fit_for_use(Method("svr", known, SVRSettings()), scores, groups, seed=0)
    save_quality_model(
        tmp_path / "quality", tmp_path / "body", Quality.of(regressor, scores, "ratings.csv")
    )
    prediction = Predictor(tmp_path / "quality")("cat.png", image)
    assert prediction.scores == {}
    assert prediction.quality == pytest.approx(regressor.predict(features[None])[0], abs=1e-3)


def test_without_a_regressor_quality_is_the_mean_of_the_turned_heads(model, sample):
    predictor = Predictor(model.folder)
    image = sample["chelsea"][:80, :90]
    prediction = predictor("c.png", image)
    network = model.functional.model(model.weights)
    heads = np.clip(np.asarray(network(image[None]))[0], 0, 1)
    assert prediction.quality == pytest.approx((heads[0] + 1 - heads[1]) / 2, abs=1e-4)
    assert set(prediction.scores) == {"ssim", "gmsd"}
    assert 0.2 <= prediction.scores["ssim"] <= 1 and 0 <= prediction.scores["gmsd"] <= 0.3
    with pytest.raises(InputError, match=r"small\.png: 10×10 pixels are too few"):
        predictor("small.png", image[:10, :10])


def test_a_data_set_that_lost_the_stats_of_a_shard_is_refused(scored, tmp_path):
    """Which image is which would not be known."""
    data = shutil.copytree(scored, tmp_path / "kadis")
    assert len(open_source(data).names) == 20
    min((data / "stats").iterdir()).unlink()
    with pytest.raises(InputError, match="has lost its stats file"):
        open_source(data)


def test_pictures_that_the_model_was_trained_on_are_not_predicted(model, sample, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(model.folder, folder)
    for name, part in (("a.png", slice(80)), ("b.png", slice(80, 160))):
        cv2.imwrite(str(tmp_path / name), sample["chelsea"][part, :90])
    digest = content_digest(tmp_path / "a.png")
    write_seen(folder, [SeenRatings("mine.csv", "0" * 64, {digest: "training"})])
    (tmp_path / "a.png").rename(tmp_path / "other.png")  # the content counts, not the name
    arguments = ["predict", str(tmp_path / "other.png"), str(tmp_path / "b.png"), "--model"]
    assert main([*arguments, str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and out.rstrip().endswith("b.png")
    assert "left out: 1 pictures that" in err and "or --seen" in err
    assert main([*arguments, str(folder), "--seen"]) == 0
    assert capsys.readouterr().out.count("\n") == 2
