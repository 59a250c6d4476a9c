"""Every command with networks that are not the default, at their narrowest."""

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from rated_crops import write_rated

from deepfl.program import main
from mlsp.features.extraction import extract
from mlsp.features.pooling import feature_shape
from mlsp.features.store import load_features
from mlsp.prediction.condition_training import FEWEST
from mtl.kadis.generate import generate
from mtl.kadis.plan import GenerateConfig
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import NETWORKS, Network
from mtl.network.weights import fresh_weights, load_model, save_model

# Those that compile in seconds; tests/mtl/network has what every row keeps.
CHEAP = [name for name in ("resnet50", "cnniqa") if name in NETWORKS]
BY_SIZE = [name for name, row in NETWORKS.items() if not row.shares_canvas]
SIDE = 64  # pixels; too few for InceptionResNetV2


@dataclass(frozen=True)
class Trained:
    """A run of `deepfl train`, its network, and a folder to work in."""

    row: Network
    run: Path
    place: Path

    @property
    def width(self) -> float:
        return self.row.widths[-1]

    @property
    def other(self) -> str:
        """A network that a model of this one cannot be taken for."""
        return next(name for name in NETWORKS if name != self.row.name)


@pytest.fixture(scope="module")
def rated(tmp_path_factory, sample) -> Path:
    """A table of twelve rated pictures with their own split."""
    folder = tmp_path_factory.mktemp("rated")
    return write_rated(folder, sample["coffee"], (SIDE, SIDE))


@pytest.fixture(scope="module", params=CHEAP)
def trained(request, tmp_path_factory, scored) -> Trained:
    place = tmp_path_factory.mktemp(request.param)
    trained = Trained(NETWORKS[request.param], place / "run", place)
    command = ["train", "--data", str(scored), "--out", str(trained.run), "--epochs", "1"]
    command += ["--network", request.param, "--width", str(trained.width)]
    command += ["--crop", str(SIDE), str(SIDE), "--batch-size", "8", "--momentum", "0.9"]
    assert main([*command, "--condition-pictures", "0"]) == 0
    return trained


def write_pictures(folder: Path, photograph: np.ndarray, row: Network) -> None:
    """Write two pictures of different sizes, and one that is too small for the network."""
    folder.mkdir()
    side = max(SIDE, row.smallest_side)
    shapes = {"a": (side, side + 2), "b": (side, side + 16), "c": (row.smallest_side - 1, side)}
    for name, (h, w) in shapes.items():
        cv2.imwrite(str(folder / f"{name}.png"), photograph[:h, :w, ::-1])


def test_a_trained_network_describes_benchmarks_predicts_and_reports(
    trained, rated, sample, capsys
):
    row, run, place = trained.row, trained.run, trained.place
    assert json.loads((run / "config.json").read_text())["network"] == row.name
    model = load_model(run)
    assert model.config.network == row.name and model.config.scaling == row.scaling
    pictures, out = place / "pictures", place / "features"
    write_pictures(pictures, sample["chelsea"], row)
    assert main(["extract", str(pictures), "--model", str(run), "--out", str(out)]) == 0
    found, side = load_features(out), row.smallest_side
    assert found.matrix.shape == (2, *feature_shape("mlsp", trained.width, row))
    assert f"{side}×{side}" in found.skipped["c.png"]

    command = ["benchmark", str(rated), "--model", str(run), "--no-baselines"]
    assert main([*command, "--repetitions", "2", "--out", str(place / "bench")]) == 0
    capsys.readouterr()
    photo = str(pictures / "a.png")
    assert main(["predict", photo, "--model", str(place / "bench")]) == 0
    assert np.isfinite(float(capsys.readouterr().out.split("\t")[0]))
    assert main(["report", str(run), "--out", str(place / "report")]) == 0
    assert f"{row.title} learns to predict" in (place / "report" / "index.html").read_text()


@pytest.fixture(scope="module")
def two_levels(tmp_path_factory, sample) -> Path:
    """A data set with JPEG's mildest and strongest version of four photographs."""
    root = tmp_path_factory.mktemp("two_levels")
    (root / "photographs").mkdir()
    for name in ("chelsea", "china", "coffee", "flower"):
        cv2.imwrite(str(root / "photographs" / f"{name}.png"), sample[name][..., ::-1])
    settings = {"recipe": "kadid", "types": ("jpeg",), "levels": (1, 5), "metrics": ("gmsd",)}
    settings |= {"size": (SIDE, SIDE), "validation": 0.25, "shards": 1}
    generate(GenerateConfig(root / "photographs", root / "kadis", **settings))
    return root / "kadis"


def test_a_network_learns_to_name_distortions(trained, two_levels, sample):
    command = ["conditions", str(two_levels), "--model", str(trained.run)]
    assert main([*command, "--pictures", str(FEWEST)]) == 0
    picture, said = trained.place / "one.png", trained.place / "said.json"
    cv2.imwrite(str(picture), sample["rocket"][:SIDE, :SIDE, ::-1])
    command = ["predict", str(picture), "--model", str(trained.run), "--explain"]
    assert main([*command, "--json", str(said)]) == 0
    (found,) = json.loads(said.read_text())["pictures"]
    named = {(each["distortion"], each["level"]) for each in found["conditions"]}
    assert named == {("pristine", 0), ("jpeg", 1), ("jpeg", 5)}
    assert sum(each["share"] for each in found["conditions"]) == pytest.approx(1, abs=1e-3)


def test_fine_tuning_takes_the_network_of_its_start(trained, rated, capsys):
    row, run, place = trained.row, trained.run, trained.place
    command = ["finetune", str(rated), "--init", str(run)]
    command += ["--stages", "1e-4", "1", "--batch-size", "4", "--momentum", "0.9"]
    assert main([*command, "--network", trained.other, "--out", str(place / "x")]) == 2
    assert f"run: is {row.name}; leave --network" in capsys.readouterr().err
    assert main([*command, "--out", str(place / "tuned")]) == 0
    after, before = load_model(place / "tuned"), load_model(run)
    assert after.config.network == row.name and after.config.width == trained.width
    kernels = [name for name in after.functional.shapes if name.endswith("kernel")]
    body = [name for name in kernels if name.startswith("body/")]
    # A step of Adam moves each weight by about its rate; random ones would be far away.
    moved = [np.abs(after.weights[name] - before.weights[name]).max() for name in body]
    assert 0 < max(moved) < 1.1e-4
    with (place / "tuned" / "summary.csv").open() as file:
        (summary,) = csv.DictReader(file)
    assert summary["scheme"] == "fine-tune (weakly supervised)" and summary["images"] == "3"


def test_what_does_not_belong_together_is_refused(trained, scored, capsys):
    row, out = trained.row, trained.place / "y"
    command = ["train", "--data", str(scored), "--out", str(out), "--batch-size", "8"]
    own = ["--network", row.name, "--width", str(trained.width)]
    side = row.smallest_side
    for options, problem in (
        (["--network", "vgg"], "network vgg: is not one of inception_resnet_v2, resnet50"),
        ([*own, "--crop", str(side - 1), "80"], f"below the network's {side}×{side}"),
        (["--crop", "64", "64"], "below the network's 75×75"),
        (
            ["--init", str(trained.run), "--network", trained.other],
            f"is {row.name}; leave --network",
        ),
        (["--init", str(trained.run)], f"has the width {trained.width}, not 1.0; give --width"),
        (["--network", row.name, "--width", "0.3"], f"--width 0.3: must be one of .*{row.title}"),
    ):
        assert main([*command, *options]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert re.search(problem, said), said
        assert not out.exists()


@pytest.mark.parametrize("name", BY_SIZE)
def test_pictures_that_share_no_canvas_are_described_one_size_after_another(name, tmp_path, sample):
    row = NETWORKS[name]
    config = ModelConfig((), width=row.widths[-1], network=name)
    model = tmp_path / "model"
    save_model(model, config, fresh_weights(functional_model(config), 0), None, {})
    pictures, out = tmp_path / "pictures", tmp_path / "features"
    write_pictures(pictures, sample["chelsea"], row)
    assert main(["extract", str(pictures), "--model", str(model), "--out", str(out)]) == 0
    found = load_features(out)
    assert found.names == ["a.png", "b.png"] and list(found.skipped) == ["c.png"]
    side = max(SIDE, row.smallest_side)
    for features, width in zip(np.asarray(found.matrix), (side + 2, side + 16), strict=True):
        (alone,) = extract(load_model(model), sample["chelsea"][None, :side, :width])
        np.testing.assert_allclose(features, alone, rtol=2e-3, atol=1e-4)  # float16


def test_imagenet_weights_that_are_not_there_are_asked_for(scored, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DEEPFL_CACHE", str(tmp_path / "cache"))
    command = ["train", "--data", str(scored), "--out", str(tmp_path / "x"), "--batch-size", "8"]
    assert main([*command, "--init", "imagenet", "--network", "resnet50"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "deepfl import-keras" in said and "resnet50" in said and not (tmp_path / "x").exists()
