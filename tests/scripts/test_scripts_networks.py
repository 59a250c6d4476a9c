"""Every command with a network that is not the default: ResNet-50 at an eighth of its width."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepfl.program import main
from mlsp.features.store import load_features
from mtl.network.networks import NETWORKS
from mtl.network.weights import load_model

ROW = NETWORKS["resnet50"]
WIDTH = 0.125
SIDE = 64  # pixels; too few for InceptionResNetV2


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample) -> Path:
    """Twelve rated pictures with their own split."""
    folder = tmp_path_factory.mktemp("networks")
    parts = ["training"] * 6 + ["validation"] * 3 + ["test"] * 3
    rows = ["image,score,set"]
    for k, part in enumerate(parts):
        crop = sample["coffee"][10 * k : 10 * k + SIDE, 20 * k : 20 * k + SIDE]
        cv2.imwrite(str(folder / f"{k}.png"), crop[..., ::-1])
        rows.append(f"{k}.png,{k * 5 % 12},{part}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(place, scored) -> Path:
    """A run of `deepfl train`."""
    command = ["train", "--data", str(scored), "--out", str(place / "run"), "--epochs", "1"]
    command += ["--network", "resnet50", "--width", str(WIDTH), "--crop", str(SIDE), str(SIDE)]
    command += ["--batch-size", "8", "--momentum", "0.9", "--condition-pictures", "0"]
    assert main(command) == 0
    return place / "run"


def test_a_trained_resnet_describes_benchmarks_predicts_and_reports(run, place, sample, capsys):
    assert json.loads((run / "config.json").read_text())["network"] == "resnet50"
    model = load_model(run)
    assert model.config.network == "resnet50" and model.config.scaling == "caffe"
    pictures = place / "pictures"
    pictures.mkdir()
    for name, (h, w) in {"a.png": (64, 66), "b.png": (60, 80), "c.png": (40, 30)}.items():
        cv2.imwrite(str(pictures / name), sample["chelsea"][:h, :w, ::-1])
    out = place / "features"
    assert main(["extract", str(pictures), "--model", str(run), "--out", str(out)]) == 0
    found = load_features(out)
    assert found.matrix.shape == (2, ROW.length * WIDTH) and "32×32" in found.skipped["c.png"]

    command = ["benchmark", str(place / "ratings.csv"), "--model", str(run), "--no-baselines"]
    assert main([*command, "--repetitions", "2", "--out", str(place / "bench")]) == 0
    capsys.readouterr()
    photo = str(pictures / "a.png")
    assert main(["predict", photo, "--model", str(place / "bench")]) == 0
    assert np.isfinite(float(capsys.readouterr().out.split("\t")[0]))
    assert main(["report", str(run), "--out", str(place / "report")]) == 0
    assert "ResNet-50 learns to predict" in (place / "report" / "index.html").read_text()


def test_fine_tuning_takes_the_network_of_its_start(run, place, capsys):
    command = ["finetune", str(place / "ratings.csv"), "--init", str(run)]
    command += ["--stages", "1e-4", "1", "--batch-size", "4", "--momentum", "0.9"]
    assert main([*command, "--network", "inception_resnet_v2", "--out", str(place / "x")]) == 2
    assert "run: is resnet50; leave --network" in capsys.readouterr().err
    assert main([*command, "--out", str(place / "tuned")]) == 0
    after, before = load_model(place / "tuned"), load_model(run)
    assert after.config.network == "resnet50" and after.config.width == WIDTH
    name = "body/stages/3/2/units/2/conv/kernel"
    # A step of Adam moves each weight by about its rate; random ones would be far away.
    assert 0 < np.abs(after.weights[name] - before.weights[name]).max() < 1.1e-4
    with (place / "tuned" / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["scheme"] == "fine-tune (weakly supervised)" and row["images"] == "3"


def test_what_does_not_belong_together_is_refused(run, place, scored, capsys):
    command = ["train", "--data", str(scored), "--out", str(place / "y"), "--batch-size", "8"]
    for options, problem in (
        (["--network", "vgg"], "network vgg: is not one of inception_resnet_v2, resnet50"),
        (["--network", "resnet50", "--crop", "31", "40"], "below the network's 32×32"),
        (["--crop", "64", "64"], "below the network's 75×75"),
        (["--init", str(run), "--network", "inception_resnet_v2"], "run: is resnet50; leave --net"),
        (
            ["--init", str(run), "--width", "0.125"],
            f"has the width {WIDTH}, not 0.125; give --width",
        ),
        (["--init", "imagenet", "--network", "resnet50"], "deepfl import-keras imagenet --network"),
    ):
        assert main([*command, *options]) == 2
        assert problem in capsys.readouterr().err.splitlines()[-1]
        assert not (place / "y").exists()
