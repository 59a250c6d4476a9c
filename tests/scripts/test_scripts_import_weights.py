"""`deepfl import-weights`, and the commands that take ImageNet weights by the network's name."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepfl.imported import tell_imported
from deepfl.program import main
from mlsp.features.store import load_features
from mtl.network.imports.imported import Imported
from mtl.network.networks import NETWORKS
from mtl.network.weights import load_model

NAME = "efficientnet-lite0-imagenet"
ROW = NETWORKS["efficientnet_lite0"]
GOLDEN = Path(__file__).parents[1] / "golden" / "networks" / "efficientnet_lite0.npz"
SIDE = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample):
    """A working folder with ten rated pictures, and a user's cache of its own."""
    folder = tmp_path_factory.mktemp("imagenet")
    rows = ["image,score,set"]
    for k, part in enumerate(["training"] * 4 + ["validation"] * 3 + ["test"] * 3):
        crop = sample["coffee"][10 * k : 10 * k + SIDE, 20 * k : 20 * k + SIDE]
        cv2.imwrite(str(folder / f"{k}.png"), crop[..., ::-1])
        rows.append(f"{k}.png,{k * 7 % 10},{part}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPFL_CACHE", str(folder / "cache"))
        yield folder
    shutil.rmtree(folder)  # pytest would keep its 50 MB for three runs


def test_fine_tuning_starts_from_the_package_without_a_command_before(place, capsys):
    command = ["finetune", str(place / "ratings.csv"), "--init", NAME, "--stages", "1e-4", "1"]
    command += ["--batch-size", "4", "--momentum", "0.9", "--out", str(place / "tuned")]
    assert main([*command, "--network", "resnet50"]) == 2
    assert f"--init {NAME}: is efficientnet_lite0; leave --network" in capsys.readouterr().err
    assert not (place / "cache").exists()
    assert main(command) == 0
    after, before = load_model(place / "tuned"), load_model(NAME)
    assert after.config.network == ROW.name and after.config.scaling == "efficientnet_lite"
    name = "body/blocks/15/depthwise/kernel"
    # A step of Adam moves each weight by about its rate; random ones would be far away.
    assert 0 < np.abs(after.weights[name] - before.weights[name]).max() < 1.1e-4
    with (place / "tuned" / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["scheme"] == "fine-tune (ImageNet)"
    assert json.loads((place / "tuned" / "config.json").read_text())["init"] == NAME


def test_the_command_says_what_it_made_and_features_are_the_reference_s(place, capsys):
    out = str(place / "body")
    assert main(["import-weights", "efficientnet-lite0", "--out", out]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "left out: 1 layer that is not of the body (_fc)",
        f"{out}: EfficientNet-Lite0's ImageNet weights; pixels as (x - 127)/128, since its authors"
        " feed EfficientNet-Lite0 so",
        f"next: deepfl extract PICTURES --model {out} --out features",
        f"or:   deepfl train --data KADIS --init {out} --out run",
    ]
    kept, own = (load_model(name).weights for name in (NAME, out))
    assert all(np.array_equal(kept[name], own[name]) for name in own)
    shutil.rmtree(place / "cache")
    assert main(["import-weights", "efficientnet_lite0"]) == 0
    assert capsys.readouterr().err.endswith(f"--data KADIS --init {NAME} --out run\n")
    pictures = place / "pictures"
    pictures.mkdir()
    with np.load(GOLDEN) as golden:
        for name in ("a", "b"):
            cv2.imwrite(str(pictures / f"{name}.png"), golden[f"{name}_picture"][..., ::-1])
        features = place / "features"
        assert main(["extract", str(pictures), "--model", NAME, "--out", str(features)]) == 0
        matrix = np.asarray(load_features(features).matrix, np.float32)
        assert matrix.shape == (2, 12_080)
        first = 0
        for block, channels in ROW.blocks:
            for row, name in zip(matrix, ("a", "b"), strict=True):
                if f"{name}_{block}_mean" in golden:
                    expected = golden[f"{name}_{block}_mean"]
                    found = row[first : first + channels]
                    # Kept in half precision.
                    assert np.abs(found - expected).max() <= 2**-11 * np.abs(expected).max() + 1e-6
            first += channels


def test_training_takes_the_network_from_its_start(place, scored, capsys):
    command = ["train", "--data", str(scored), "--init", NAME, "--out", str(place / "run")]
    for options, problem in (
        (["--crop", "31", "40"], "below the network's 32×32"),
        (["--network", "resnet50"], f"--init {NAME}: is efficientnet_lite0; leave --network"),
        (["--width", "0.5"], f"--init {NAME}: has the width 1.0, not 0.5; give --width 1.0"),
    ):
        assert main([*command, "--batch-size", "8", *options]) == 2
        assert problem in capsys.readouterr().err.splitlines()[-1]
        assert not (place / "run").exists()


def test_names_out_of_a_file_stay_on_their_line(capsys):
    names = ["a\n\x1b[31m", "ä" * 41]
    tell_imported(Imported(Path("out"), ROW.name, "weights", ROW.scaling, "so", names), "out")
    first, *others = capsys.readouterr().err.splitlines()
    assert first.endswith(f"2 layers that are not of the body (a\\n\\x1b[31m, {'ä' * 40}...)")
    assert len(others) == 3


def test_mistakes_are_one_line(place, capsys):
    for arguments, problem in (
        (["efficientnet-lite0"], "imagenet-efficientnet_lite0: exists; choose another --out"),
        (["gone.pth"], "gone.pth: is neither a file nor a network"),
        (
            [str(place / "0.png"), "--out", str(place / "x")],
            "is not a file of weights that PyTorch",
        ),
    ):
        assert main(["import-weights", *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("deepfl import-weights: ") and problem in line
    assert main(["train", "--data", "x", "--init", "vgg-imagenet", "--out", str(place / "x")]) == 2
    assert "vgg-imagenet: no such folder" in capsys.readouterr().err
    assert not (place / "x").exists()
