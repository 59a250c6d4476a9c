"""DeepBIQ by the commands: random 227×227 crops described by fc7 of CaffeNet's layout.

The network has a sixteenth of the channels and random weights.
"""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepfl.program import main
from mlsp.features.extraction import extract
from mlsp.features.store import load_features
from mtl.network.networks import NETWORKS
from mtl.network.weights import load_model
from scripts.untrained_model import main as untrained

ROW = NETWORKS["alexnet"]
WIDTH = ROW.widths[-1]
FEATURES = round(ROW.features * WIDTH)
SIZE = (240, 262)  # pixels; a crop has (240 - 227 + 1) · (262 - 227 + 1) places
PICTURES = 15  # with more noise from one to the next
CROPS = ("--crops", "2", "--crop-size", "227")


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample) -> Path:
    """A model, and pictures with ratings."""
    folder = tmp_path_factory.mktemp("deepbiq")
    untrained(["--out", str(folder / "caffenet"), "--network", "alexnet", "--width", str(WIDTH)])
    rng = np.random.default_rng(0)
    rows = ["image,score"]
    for k in range(PICTURES):
        part = sample["coffee"][10 * k :][: SIZE[0], 20 * k :][:, : SIZE[1]]
        noise = rng.normal(0, 4 * k, part.shape)
        cv2.imwrite(str(folder / f"{k}.png"), np.clip(part + noise, 0, 255)[..., ::-1])
        rows.append(f"{k}.png,{100 - 6 * k}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    return folder


def extracted(place: Path, out: str, *options: str):
    command = ["extract", str(place / "ratings.csv"), "--model", str(place / "caffenet")]
    assert main([*command, "--out", str(place / out), *options]) == 0
    return load_features(place / out)


def test_crops_are_described_by_fc7_and_pooled(place):
    rows = extracted(place, "rows", "--features", "gap", *CROPS, "--pool", "none")
    assert rows.matrix.shape == (2 * PICTURES, FEATURES)
    with (place / "rows" / "index.csv").open() as file:
        boxes = [[int(row[c]) for c in ("top", "left")] for row in csv.DictReader(file)]
    assert len({tuple(box) for box in boxes}) > 10
    picture = cv2.imread(str(place / "3.png"))[..., ::-1]
    crops = [picture[top : top + 227, left : left + 227] for top, left in boxes[6:8]]
    alone = extract(load_model(place / "caffenet"), np.stack(crops), "gap")
    # Features are stored in half precision.
    np.testing.assert_allclose(rows.matrix[6:8], alone, rtol=1e-3, atol=1e-3 * alone.max())
    pooled = extracted(place, "pooled", "--features", "gap", *CROPS)
    assert pooled.matrix.shape == (PICTURES, FEATURES)
    np.testing.assert_allclose(pooled.matrix[3], alone.mean(axis=0), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("mlsp", (round(ROW.length * WIDTH),)),
        ("spp", (14 * FEATURES,)),
        ("mlsp-wide", (5, 5, round(ROW.length * WIDTH))),
    ],
)
def test_whole_pictures_are_described_in_every_way(place, kind, shape):
    found = extracted(place, kind, "--features", kind)
    assert found.matrix.shape == (PICTURES, *shape)
    values = np.asarray(found.matrix, np.float32)
    assert np.isfinite(values).all() and values.std(axis=0).max() > 0
    if kind == "spp":  # 2×2 places of fc7, which are the pyramid's 2×2 cells
        whole, cells = values[:, :FEATURES], values[:, FEATURES : 5 * FEATURES]
        mean = cells.reshape(PICTURES, 4, FEATURES).mean(axis=1)
        np.testing.assert_allclose(whole, mean, rtol=2e-3, atol=2e-3 * values.max())


@pytest.mark.parametrize("pool", ["avg", "none"])
def test_the_benchmark_takes_crops(place, pool):
    out = place / f"benchmark-{pool}"
    command = ["benchmark", str(place / "ratings.csv"), "--model", str(place / "caffenet")]
    command += ["--features", "gap", *CROPS, "--pool", pool, "--regressor", "svr-linear"]
    command += ["--repetitions", "2", "--no-baselines", "--out", str(out)]
    assert main(command) == 0
    with (out / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["method"] == "caffenet svr-linear" and row["repetitions"] == "2"
    assert float(row["srocc_median"]) > 0.4
    with (out / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == PICTURES // 5
    stored = {"avg": PICTURES, "none": 2 * PICTURES}[pool]
    (matrix,) = out.glob("features/**/features.npy")
    assert np.load(matrix).shape == (stored, FEATURES)


def test_crops_below_the_smallest_side_are_refused(place, capsys):
    command = ["extract", str(place / "ratings.csv"), "--model", str(place / "caffenet")]
    command += ["--out", str(place / "small"), "--crops", "2", "--crop-size", "198"]
    assert main(command) == 2
    assert "--crop-size 198: at least 199 pixels are needed" in capsys.readouterr().err


def test_fine_tuning_into_five_classes_gives_another_description(place):
    """Sections 2.3 and 3.3: classes of the scores, then fc7 of the tuned network describes."""
    tuned = place / "tuned"
    command = ["finetune", str(place / "ratings.csv"), "--init", str(place / "caffenet")]
    command += ["--loss", "classes", "--scale", "0", "100", "--size", "227", "227"]
    command += ["--stages", "1e-3", "1", "--batch-size", "4", "--out", str(tuned)]
    assert main(command) == 0
    before, after = load_model(place / "caffenet"), load_model(tuned)
    assert after.config.network == "alexnet" and after.config.width == WIDTH
    for layer in ("conv1", "conv4", "fc6", "fc7"):
        name = f"body/{layer}/conv/kernel"
        moved = np.abs(after.weights[name] - before.weights[name]).max()
        assert 0 < moved < 0.01, layer  # a few steps of Adam of 1e-3 each
    picture = cv2.imread(str(place / "3.png"))[None, :227, :227, ::-1]
    first, second = (extract(model, picture, "gap") for model in (before, after))
    assert first.shape == second.shape == (1, FEATURES)
    assert np.abs(first - second).max() > 1e-3 * first.max()
