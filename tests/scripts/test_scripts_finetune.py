"""`deepfl finetune` with the real network, and what its model is good for."""

import csv
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from deepfl.program import main
from fr_metrics import HistogramEqualization
from mtl.network.inception_resnet_v2 import BLOCKS
from mtl.network.model import ModelConfig, functional_model
from mtl.network.weights import fresh_weights, load_model, save_model
from mtl.runtime.files import read_arrays

SIDE, WIDTH = 80, 0.125


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample) -> Path:
    """A model of `deepfl train`, and a table of thirteen pictures with its own split."""
    folder = tmp_path_factory.mktemp("finetune")
    config = ModelConfig(("ssim",), "zero_to_one", width=WIDTH)
    weights = fresh_weights(functional_model(config), 0)
    equalization = HistogramEqualization.fit({"ssim": np.linspace(0.2, 1, 50)})
    save_model(folder / "trained", config, weights, equalization, {})
    rows = ["image_name,c1,c2,c3,c4,c5,set"]
    for k in range(13):
        crop = sample["coffee"][10 * k : 10 * k + SIDE + 20, 20 * k : 20 * k + SIDE + 30]
        cv2.imwrite(str(folder / f"{k}.png"), crop[..., ::-1])
        part = "training" if k < 7 else "validation" if k < 10 else "test"
        rows.append(f"{k}.png,{k % 3},1,{k % 5},2,{k % 4},{part}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_a_weakly_supervised_body_learns_human_scores_and_predicts_them(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    command = ["finetune", "ratings.csv", "--init", "trained", "--out", "run", "--loss", "emd"]
    command += ["--size", "80", "80", "--stages", "1e-4", "1", "--batch-size", "4", "--flip"]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "next: deepfl predict" in shown.err and "epoch 1/1: train loss" in shown.err
    header, row = shown.out.strip().splitlines()
    assert header.split() == ["images", "SROCC", "PLCC", "RMSE", "MAE"] and row.split()[0] == "3"
    with (place / "run" / "summary.csv").open() as file:
        (summary,) = csv.DictReader(file)
    assert summary["scheme"] == "fine-tune (weakly supervised)" and summary["loss"] == "emd"

    # One step of Adam moves each weight by about its rate; random ones would be far away.
    before, after = (load_model(place / name) for name in ("trained", "run"))
    name = "body/conv_7b/conv/kernel"
    assert 0 < np.abs(after.weights[name] - before.weights[name]).max() < 1.1e-4
    assert after.config.scaling == "zero_to_one" and after.config.opinion.size == (SIDE, SIDE)
    assert not any(name.startswith("heads/") for name in read_arrays(after.folder / "weights.npz"))

    # A picture of any size is judged at the size of the training, as it was in the test.
    with (place / "run" / "predictions.csv").open() as file:
        tested = {row["image"]: row for row in csv.DictReader(file)}
    assert main(["predict", "10.png", "12.png", "--model", "run", "--out", "predicted.csv"]) == 0
    assert "scale: that of ratings.csv, 1 to 5" in capsys.readouterr().err
    with (place / "predicted.csv").open() as file:
        for row in csv.DictReader(file):
            same = tested[row["image"]]
            assert float(row["quality"]) == pytest.approx(float(same["predicted"]), abs=1e-4)
            for n in range(1, 6):
                assert float(row[f"p{n}"]) == pytest.approx(float(same[f"p{n}"]), abs=1e-4)

    # Features come from the body, as of any model.
    images = jax.ShapeDtypeStruct((2, 90, 100, 3), np.uint8)
    found = jax.eval_shape(lambda x: after.functional.model(after.weights).activations(x), images)
    assert [found[name].shape[-1] for name, _ in BLOCKS] == [c * WIDTH for _, c in BLOCKS]
