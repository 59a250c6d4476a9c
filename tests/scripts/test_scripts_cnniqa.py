"""The commands with CNNIQA, whose last layer is a map of patches."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepfl.program import main
from mlsp.features.pooling import feature_shape
from mlsp.features.store import load_features
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import NETWORKS
from mtl.network.weights import fresh_weights, load_model, save_model

ROW, WIDTH = NETWORKS["cnniqa"], 0.5


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample) -> Path:
    """A body with random weights, and thirteen rated pictures with their own split."""
    folder = tmp_path_factory.mktemp("cnniqa")
    config = ModelConfig((), width=WIDTH, network=ROW.name)
    save_model(folder / "body", config, fresh_weights(functional_model(config), 0), None, {})
    (folder / "rated").mkdir()
    rows = ["image,score,set"]
    for k in range(13):
        crop = sample["coffee"][10 * k : 10 * k + 70, 20 * k : 20 * k + 101]
        cv2.imwrite(str(folder / "rated" / f"{k}.png"), crop[..., ::-1])
        part = "training" if k < 7 else "validation" if k < 10 else "test"
        rows.append(f"{k}.png,{k * 5 % 13},{part}")
    (folder / "rated" / "ratings.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.parametrize("kind", ["gap", "spp", "mlsp-wide"])
def test_every_kind_of_features_describes_pictures_and_crops(place, kind, capsys):
    command = ["extract", str(place / "rated"), "--model", str(place / "body"), "--features", kind]
    assert main([*command, "--out", str(place / kind)]) == 0
    shape = feature_shape(kind, WIDTH, ROW)
    whole = np.asarray(load_features(place / kind).matrix)
    assert whole.shape == (13, *shape) and whole.std() > 0
    crops = [*command, "--crops", "2", "--out", str(place / f"{kind}-crops"), "--crop-size"]
    assert main([*crops, "31"]) == 2
    assert capsys.readouterr().err.endswith("--crop-size 31: at least 32 pixels are needed\n")
    assert main([*crops, "40", "--pool", "concat"]) == 0
    found = load_features(place / f"{kind}-crops").matrix
    assert found.shape == (13, *shape[:-1], 2 * shape[-1])


@pytest.mark.parametrize("loss", ["plcc", "norm-in-norm"])
def test_patches_are_learned_by_the_losses_of_a_long_tail(place, loss):
    run = place / loss
    command = ["finetune", str(place / "rated" / "ratings.csv"), "--init", str(place / "body")]
    command += ["--head", "linear", "--loss", loss, "--balance", "proportion", "--out", str(run)]
    command += ["--crop", "32", "32", "--stages", "1e-4", "1", "--batch-size", "4"]
    assert main(command) == 0
    assert json.loads((run / "config.json").read_text())["crop"] == [32, 32]
    before, after = load_model(place / "body"), load_model(run)
    # A step of Adam moves each weight by about its rate; every kernel has learned.
    moved = np.abs(after.weights["body/conv/kernel"] - before.weights["body/conv/kernel"])
    assert moved.max(axis=(0, 1, 2)).min() > 0 and moved.max() < 1.1e-4

    # The test judged whole pictures, as `deepfl predict` does.
    pictures = [str(place / "rated" / f"{k}.png") for k in range(10, 13)]
    out = run / "again.csv"
    assert main(["predict", *pictures, "--model", str(run), "--out", str(out)]) == 0
    with (run / "predictions.csv").open() as one, out.open() as two:
        tested = {row["image"]: float(row["predicted"]) for row in csv.DictReader(one)}
        again = {Path(row["image"]).name: float(row["quality"]) for row in csv.DictReader(two)}
    assert len(set(tested.values())) == 3 and again == pytest.approx(tested, rel=1e-4, abs=1e-4)
