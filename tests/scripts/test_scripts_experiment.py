"""The experiment's scripts, and the model that comes with the program."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_network import SmallBody

from distortions import distort
from fr_metrics import METRICS
from mlsp.databases.condition_means import condition_means
from mlsp.evaluation.benchmarking import Method, fit_for_use
from mlsp.prediction.conditions import fit_conditions, save_conditions
from mlsp.prediction.predictor import Predictor
from mlsp.prediction.quality_model import Quality, save_quality_model
from mlsp.regression import SVRSettings
from mtl.kadis.shards import file_digest
from mtl.network.weights import INCLUDED, load_model, model_folder
from mtl.runtime.files import InputError, read_arrays
from mtl.runtime.tables.csv_tables import read_table
from mtl.training.multitask.config import TrainConfig
from mtl.training.multitask.train import train
from scripts import rate_conditions, release_model, report_experiment, untrained_model


def test_every_condition_has_its_picture_and_rating(tmp_path, sample):
    (tmp_path / "photographs").mkdir()
    cv2.imwrite(str(tmp_path / "photographs" / "cat.png"), sample["chelsea"][:, ::-1, ::-1])
    out = tmp_path / "conditions"
    command = [str(tmp_path / "photographs"), "--out", str(out), "--size", "40", "52"]
    rate_conditions.main(command)
    rows = read_table(out / "ratings.csv", ("image", "score", "reference", "level"))
    means = condition_means()
    assert len(rows) == len({row["image"] for row in rows}) == len(means) == 125
    for row in rows:
        number, level = map(int, Path(row["image"]).stem.rsplit("_", 2)[1:])
        assert float(row["score"]) == means[number, level] and int(row["level"]) == level
        assert cv2.imread(str(out / row["image"])).shape == (40, 52, 3)
        assert row["reference_file"] == "pristine/cat.png" and row["reference"] == "cat"
    pristine = cv2.imread(str(out / "pristine" / "cat.png"))[..., ::-1]
    stored = cv2.imread(str(out / "distorted" / "cat_16_03.png"))[..., ::-1]
    np.testing.assert_array_equal(stored, distort(pristine, 16, 3, seed=0))
    with pytest.raises(InputError, match="smaller than"):
        rate_conditions.main([*command[:-2], "4000", "5200"])


def test_an_untrained_model_only_describes(tmp_path, capsys):
    out = tmp_path / "random"
    untrained_model.main(["--out", str(out), "--width", "0.0625", "--seed", "3"])
    model = load_model(out)
    assert model.config.width == 0.0625 and not model.config.metrics
    with pytest.raises(InputError, match="is there already"):
        untrained_model.main(["--out", str(out)])
    with pytest.raises(InputError, match=r"--width 0\.3: must be one of"):
        untrained_model.main(["--out", str(tmp_path / "x"), "--width", "0.3"])


@pytest.fixture(scope="module")
def runs(scored, tmp_path_factory):
    """Two runs that differ in equalisation."""
    folder = tmp_path_factory.mktemp("runs")
    on = TrainConfig(scored, folder / "on", epochs=2, batch_size=4, momentum=0.9)
    for config in (on, replace(on, out=folder / "off", equalize="off")):
        train(config, body=SmallBody)
    return folder


def test_the_experiments_table_and_picture(runs, tmp_path):
    benchmark = tmp_path / "conditions"
    benchmark.mkdir()
    (benchmark / "summary.csv").write_text(
        "database,method,repetitions,srocc_median,srocc_q1,srocc_q3,plcc_median,plcc_logistic_median\n"
        "ratings,run svr,20,0.71234,0.7,0.73,0.6,0.65\nratings,vsi,20,0.9,0.89,0.91,0.8,0.85\n"
    )
    out = tmp_path / "experiment.csv"
    command = [str(benchmark), "--equalized", str(runs / "on"), "--raw", str(runs / "off")]
    report_experiment.main([*command, "--out", str(out)])
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["experiment"], r["variant"], r["epoch"], r["repetitions"]) for r in rows] == [
        ("training", "with equalisation", "1", ""),
        ("training", "with equalisation", "2", ""),
        ("training", "without equalisation", "1", ""),
        ("training", "without equalisation", "2", ""),
        ("conditions", "run svr", "", "20"),
        ("conditions", "vsi", "", "20"),
    ]
    assert rows[4]["srocc_median"] == "0.7123" and rows[4]["srocc_q3"] == "0.7300"
    picture = cv2.imread(str(out.with_suffix(".png")))
    assert picture.shape[1] > 700 and picture.std() > 10
    with pytest.raises(InputError, match="must be runs of the same settings"):
        report_experiment.main([str(benchmark), "--equalized", command[4], "--raw", command[2]])


@pytest.fixture
def judge(untrained, tmp_path):
    """A run with conditions, and a benchmark's model on its network."""
    run = tmp_path / "run" / "model"
    shutil.copytree(untrained, run)
    rng = np.random.default_rng(0)
    known = [(0, 0), *((1, level) for level in range(1, 6))] * 4
    features = rng.normal(size=(len(known), 2116)).astype(np.float16)
    held_out = np.arange(len(known)) >= 18
    own = fit_conditions(features, known, held_out, file_digest(run / "weights.npz"))
    save_conditions(run / "conditions.npz", own)
    scores = np.linspace(1, 5, len(known))
    groups = [str(k) for k in range(len(known))]
    method = Method("svr", features.astype(np.float32), SVRSettings())
    regressor = fit_for_use(method, scores, groups, seed=0)
    save_quality_model(tmp_path / "judge", run, Quality.of(regressor, scores, "ratings"))
    return tmp_path


def test_a_released_model_is_half_as_large_and_judges_nearly_the_same(judge, sample, capsys):
    pictures = judge / "pictures"
    pictures.mkdir()
    for name, image in sample.items():
        cv2.imwrite(str(pictures / f"{name}.png"), image[:96, :96, ::-1])
    command = [str(judge / "judge"), "--run", str(judge / "run"), "--pictures", str(pictures)]
    release_model.main([*command, "--ratings", "words", "--out", str(judge / "small")])
    assert "words" in Predictor(judge / "small").scale
    assert {w.dtype for w in read_arrays(judge / "small" / "weights.npz").values()} == {
        np.dtype("float16")
    }
    sizes = [(judge / f / "weights.npz").stat().st_size for f in ("judge", "small")]
    assert sizes[1] < 0.6 * sizes[0]
    assert {w.dtype for w in load_model(judge / "small").weights.values()} == {np.dtype("float32")}
    told = capsys.readouterr().err
    assert "MB" in told and "quality: differs by at most" in told and "gmsd: at most" in told
    assert Predictor(judge / "small", explain=True).conditions is not None


def test_a_model_that_cannot_be_released_is_refused(judge, untrained, monkeypatch):
    config = release_model.ReleaseConfig(
        judge / "judge", judge / "run", judge, "words", judge / "small"
    )
    shutil.copytree(untrained, judge / "bare")
    shutil.copyfile(judge / "run" / "model" / "conditions.npz", judge / "bare" / "conditions.npz")
    with pytest.raises(InputError, match="has no regressor"):
        release_model.release(replace(config, model=judge / "bare"))
    monkeypatch.setattr(release_model, "LARGEST", 1000)
    with pytest.raises(InputError, match="more than"):
        release_model.release(config)


def test_the_included_model_is_small_and_has_a_card():
    folder = model_folder(INCLUDED)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 30_000_000
    model = load_model(INCLUDED)
    assert model.config.metrics == tuple(METRICS) and model.equalization is not None
    card = (folder / "MODEL_CARD.md").read_text()
    for word in ("## Data", "## Licence", "## Scaling", "## Scores", "## Limits"):
        assert word in card


def test_the_included_model_tells_strong_distortions_from_weak_ones(sample):
    predictor = Predictor(INCLUDED, explain=True)
    assert "KADID-10k" in predictor.scale
    images = {
        name: np.ascontiguousarray(sample[name][:192, 100:356])
        for name in ("astronaut", "chelsea", "coffee", "china")
    }
    for number in (1, 4, 11, 24):  # blur, colour diffusion, white noise, sharpening
        mild, strong = (
            np.mean(
                [
                    predictor(name, distort(image, number, level, seed=0)).quality
                    for name, image in images.items()
                ]
            )
            for level in (1, 5)
        )
        assert mild > strong + 0.5, number
