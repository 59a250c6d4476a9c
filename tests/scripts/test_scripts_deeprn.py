"""`deepfl finetune --head deeprn` and what its model predicts, on a small narrow network."""

import csv
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
import scipy.special

from deepfl.program import main
from mlsp.features.pooling import feature_shape
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import NETWORKS
from mtl.network.weights import fresh_weights, load_model, save_model
from mtl.runtime.pictures import read_picture

NETWORK, WIDTH = "cnniqa", 0.5
SIZE = (70, 101)  # two by three places of the last layer, in a pyramid of up to 3×3


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample) -> Path:
    """A body with random weights, a table of counts with its own split, and strangers' pictures."""
    folder = tmp_path_factory.mktemp("deeprn")
    config = ModelConfig((), width=WIDTH, network=NETWORK)
    save_model(folder / "body", config, fresh_weights(functional_model(config), 0), None, {})
    rows = ["image,c1,c2,c3,c4,c5,set"]
    for k in range(13):
        crop = sample["coffee"][10 * k : 10 * k + SIZE[0], 20 * k : 20 * k + SIZE[1]]
        cv2.imwrite(str(folder / f"{k}.png"), crop[..., ::-1])
        part = "training" if k < 7 else "validation" if k < 10 else "test"
        rows.append(f"{k}.png,{k % 3},1,{k % 5},2,{k % 4},{part}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    (folder / "strangers").mkdir()
    for k, (h, w) in enumerate([(70, 101), (75, 99), (150, 140), (33, 128)]):
        crop = sample["chelsea"][20 * k : 20 * k + h, 30 * k : 30 * k + w]
        cv2.imwrite(str(folder / "strangers" / f"{k}.png"), crop[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def run(place) -> Path:
    """A run of one epoch; the loss is the head's own."""
    command = ["finetune", str(place / "ratings.csv"), "--init", str(place / "body")]
    command += ["--out", str(place / "run"), "--head", "deeprn"]
    assert main([*command, "--stages", "1e-4", "1", "--batch-size", "4"]) == 0
    return place / "run"


def predicted(pictures, run, out) -> dict[str, dict[str, str]]:
    command = ["predict", *map(str, pictures), "--model", str(run), "--out", str(out)]
    assert main(command) == 0
    with out.open() as file:
        return {Path(row["image"]).name: row for row in csv.DictReader(file)}


def test_the_head_sees_a_pyramid_and_learns_distributions(run):
    opinion = load_model(run).config.opinion
    assert (opinion.pooling, opinion.hidden, opinion.outputs) == ("spp", True, 5)
    shapes = load_model(run).functional.shapes
    (length,) = feature_shape("spp", WIDTH, NETWORKS[NETWORK])
    layers = [shapes[f"opinion/hidden/{k}/kernel"] for k in range(3)]
    assert layers == [(length, 2048), (2048, 1024), (1024, 256)] and length == 14 * 400
    assert shapes["opinion/out/kernel"] == (256, 5)
    with (run / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["loss"] == "huber" and row["images"] == "3"


def test_predictions_are_those_of_the_training_s_test(place, run):
    with (run / "predictions.csv").open() as file:
        tested = {row["image"]: row for row in csv.DictReader(file)}
    assert len(tested) == 3
    found = predicted([place / name for name in tested], run, place / "tested.csv")
    for name, row in tested.items():
        assert float(found[name]["quality"]) == pytest.approx(float(row["predicted"]), abs=1e-4)
        for n in range(1, 6):
            assert float(found[name][f"p{n}"]) == pytest.approx(float(row[f"p{n}"]), abs=1e-4)


def test_pictures_of_several_sizes_are_judged_as_the_network_judges_each(place, run):
    found = predicted([place / "strangers"], run, place / "strangers.csv")
    assert len(found) == 4
    model = load_model(run)
    judged = jax.jit(lambda weights, picture: model.functional.model(weights)(picture[None])[0])
    for name, row in found.items():
        picture = read_picture(place / "strangers" / name)
        shares = scipy.special.softmax(np.asarray(judged(model.weights, picture)))
        quality = sum(n * share for n, share in enumerate(shares, 1))
        assert float(row["quality"]) == pytest.approx(quality, abs=1e-4)
    assert len({row["quality"] for row in found.values()}) == 4


def test_a_regressor_of_other_features_stands_beside_the_head(place, run, sample, capsys):
    rows = ["image,score"]
    (place / "others").mkdir()
    for k in range(12):
        crop = sample["flower"][10 * k : 10 * k + SIZE[0], 20 * k : 20 * k + SIZE[1]]
        cv2.imwrite(str(place / "others" / f"{k}.png"), crop[..., ::-1])
        rows.append(f"{k}.png,{k * 5 % 12}")
    (place / "others" / "ratings.csv").write_text("\n".join(rows) + "\n")
    out = place / "benchmark"
    command = ["benchmark", str(place / "others" / "ratings.csv"), "--model", str(run)]
    command += ["--features", "gap", "--no-baselines", "--repetitions", "2", "--out", str(out)]
    assert main(command) == 0
    capsys.readouterr()
    assert main(["predict", str(place / "strangers" / "0.png"), "--model", str(out)]) == 0
    shown = capsys.readouterr()
    assert np.isfinite(float(shown.out.split("\t")[0])) and "that of ratings" in shown.err
