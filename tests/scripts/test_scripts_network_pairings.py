"""What belongs to two networks is refused in one line, and the comparisons take any network."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rated_crops import write_rated

from deepfl.program import main
from mlsp.prediction.quality_model import Quality, save_quality_model
from mlsp.regression import Examples, SVRSettings, fit
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import NETWORKS
from mtl.network.weights import fresh_weights, load_model, save_model

ROW = NETWORKS["resnet50"]
WIDTH = 0.125
SIDE = 64  # pixels; too few for InceptionResNetV2


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample) -> Path:
    """Twelve rated pictures with their own split."""
    folder = tmp_path_factory.mktemp("networks")
    write_rated(folder, sample["coffee"], (SIDE, SIDE))
    return folder


@pytest.fixture(scope="module")
def run(place, scored) -> Path:
    """A run of `deepfl train`."""
    command = ["train", "--data", str(scored), "--out", str(place / "run"), "--epochs", "1"]
    command += ["--network", "resnet50", "--width", str(WIDTH), "--crop", str(SIDE), str(SIDE)]
    command += ["--batch-size", "8", "--momentum", "0.9", "--condition-pictures", "0"]
    assert main(command) == 0
    return place / "run"


@pytest.fixture(scope="module")
def body(run, place) -> Path:
    """The run's network without its heads, other weights: what stands for ImageNet's."""
    config = ModelConfig((), "caffe", width=WIDTH, network="resnet50")
    weights = fresh_weights(functional_model(config), 3)
    save_model(place / "body", config, weights, None, {})
    return place / "body"


@pytest.fixture(scope="module")
def eighteen(place, sample) -> Path:
    """Eighteen rated pictures of their own, which can be split at random."""
    rows = ["image,score"]
    for k in range(18):
        crop = sample["chelsea"][10 * k : 10 * k + SIDE, 20 * k : 20 * k + SIDE]
        cv2.imwrite(str(place / f"more-{k}.png"), crop[..., ::-1])
        rows.append(f"more-{k}.png,{k * 7 % 18}")
    (place / "eighteen.csv").write_text("\n".join(rows) + "\n")
    return place / "eighteen.csv"


def test_the_comparisons_take_a_resnet(run, body, eighteen, place):
    command = ["compare-schemes", str(eighteen), "--run", str(run), "--imagenet", str(body)]
    command += ["--regressor", "svr", "--repetitions", "2", "--stages", "1e-4", "1"]
    command += ["--batch-size", "4", "--momentum", "0.9", "--out", str(place / "schemes")]
    assert main(command) == 0
    with (place / "schemes" / "summary.csv").open() as file:
        found = {row["method"]: row["rmse_median"] for row in csv.DictReader(file)}
    assert list(found) == [
        "fine-tune (imagenet)",
        "fine-tune (weakly supervised)",
        "MLSP (imagenet)",
        "MLSP (weakly supervised)",
    ]
    assert len(set(found.values())) == 4
    tuned = load_model(place / "schemes" / "finetune" / "imagenet" / "000" / "run").config
    assert (tuned.network, tuned.width, tuned.scaling) == ("resnet50", WIDTH, "caffe")

    command = ["compare-tasks", str(eighteen), "--run", str(run), "--tasks", "gmsd"]
    command += ["--regressor", "svr", "--repetitions", "2", "--out", str(place / "tasks")]
    assert main(command) == 0
    alone = load_model(place / "tasks" / "runs" / "gmsd").config
    assert (alone.network, alone.metrics) == ("resnet50", ("gmsd",))
    with (place / "tasks" / "summary.csv").open() as file:
        methods = [row["method"] for row in csv.DictReader(file)]
    assert methods == ["multi-task (2 metrics)", "single-task (GMSD)"]


def told(capsys, command) -> str:
    """Run a command that is refused; return the line that says why."""
    assert main(list(map(str, command))) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip().splitlines()[-1].partition(": ")[2]


@pytest.fixture(scope="module")
def judging(run, place) -> Path:
    """The run's model with a regressor on its features."""
    rng = np.random.default_rng(0)
    features, scores = rng.normal(size=(12, round(ROW.length * WIDTH))), rng.normal(size=12)
    parts = Examples(features[:8], scores[:8]), Examples(features[8:], scores[8:])
    quality = Quality.of(fit(SVRSettings(), *parts, seed=0), scores, "some ratings")
    save_quality_model(place / "judging", run / "model", quality)
    return place / "judging"


def test_parts_of_two_models_in_one_folder_are_one_line(run, judging, untrained, place, capsys):
    photo = place / "0.png"
    assert main(["predict", str(photo), "--model", str(judging)]) == 0
    mixed = place / "mixed"
    shutil.copytree(untrained, mixed)
    for name in ("regressor.npz", "ratings.json"):
        shutil.copy(judging / name, mixed / name)
    line = told(capsys, ["predict", photo, "--model", mixed])
    assert line.startswith(f"{mixed / 'regressor.npz'}: was fitted to features of other weights")
    known = json.loads((mixed / "ratings.json").read_text())
    del known["weights_sha256"]  # as older versions wrote it
    (mixed / "ratings.json").write_text(json.dumps(known))
    line = told(capsys, ["predict", photo, "--model", mixed])
    assert line.startswith(f"{mixed / 'regressor.npz'}: takes 1888 features, InceptionResNetV2 ")
    assert line.endswith("run `deepfl benchmark RATINGS.csv --model FOLDER` again")

    edited = place / "edited"
    shutil.copytree(run / "model", edited)
    text = (edited / "model.json").read_text()
    (edited / "model.json").write_text(text.replace("resnet50", "inception_resnet_v2"))
    for command in (
        ["predict", photo, "--model", edited],
        ["extract", photo.parent, "--model", edited, "--out", place / "x"],
        ["benchmark", place / "ratings.csv", "--model", edited, "--out", place / "x"],
        ["finetune", place / "ratings.csv", "--init", edited, "--out", place / "x"],
    ):
        line = told(capsys, [*command, *(["--batch-size", "4", "--size", "80", "80"] if
                                         command[0] == "finetune" else [])])  # fmt: skip
        assert line.startswith(f"{edited / 'weights.npz'}: holds weights of another network than")
        assert line.endswith("copy the whole folder again")
    assert not (place / "x").exists()


def test_work_on_one_network_is_not_continued_with_another(
    run, body, untrained, eighteen, scored, place, capsys
):
    from_resnet, from_inception = place / "one" / "model", place / "two" / "model"
    shutil.copytree(body, from_resnet)
    shutil.copytree(untrained, from_inception)
    pictures = place / "one-picture"
    pictures.mkdir()
    shutil.copy(place / "0.png", pictures)
    command = ["extract", pictures, "--out", place / "kept", "--model"]
    assert main([*map(str, command), str(from_resnet)]) == 0
    line = told(capsys, [*command, from_inception])
    assert line.startswith(f"{place / 'kept'}: holds features of other pictures or of another mod")

    tuned = ["finetune", place / "ratings.csv", "--out", place / "begun", "--batch-size", "4"]
    tuned += ["--stages", "1e-4", "1", "--momentum", "0.9", "--size", "80", "80", "--init"]
    assert main([*map(str, tuned), str(body)]) == 0
    for init in (untrained, "random"):
        line = told(capsys, [*tuned, init])
        assert line.startswith(f"{place / 'begun'}: holds a run with another init")
    # The checkpoint of another network under the settings of this one.
    other = place / "swapped"
    shutil.copytree(run, other)
    shutil.rmtree(other / "checkpoints")
    (step,) = (place / "begun" / "checkpoints").iterdir()
    shutil.copytree(step, other / "checkpoints" / "1")
    (other / "log.csv").unlink()
    command = ["train", "--data", scored, "--out", other, "--epochs", "1"]
    command += ["--network", "resnet50", "--width", WIDTH, "--crop", SIDE, SIDE]
    command += ["--batch-size", "8", "--momentum", "0.9", "--condition-pictures", "0"]
    line = told(capsys, command)
    assert line.startswith(f"{other / 'checkpoints' / '1'}: is a checkpoint of another network or")

    command = ["compare-schemes", eighteen, "--out", place / "x"]
    line = told(capsys, [*command, "--run", run, "--imagenet", untrained])
    assert line.startswith(f"--imagenet {untrained}: is of inception_resnet_v2, and --run {run} of")
    line = told(capsys, [*command, "--run", run])
    assert line.startswith("--imagenet imagenet: ")
    assert line.endswith("has no weights yet; run `deepfl import-keras resnet50` once")
    assert not (place / "x").exists()
