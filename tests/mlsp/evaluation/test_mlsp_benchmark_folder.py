"""A benchmark's folder is continued with what is there now: pictures, scores, seed and models.

The features are computed and kept as they are for users, by a network that is quick.
"""

import csv
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mlsp.evaluation import benchmark_run
from mlsp.evaluation.benchmark_config import BenchmarkConfig
from mlsp.evaluation.benchmark_run import run_benchmark
from mtl.network.model import ModelConfig
from mtl.runtime.files import InputError

EXTRACT = sys.modules["mlsp.features.extraction"]  # the package has a function of this name
LENGTH = 2_116
TABLES = ("summary.csv", "repetitions.csv", "predictions.csv", "splits/ratings-random.json")


@pytest.fixture
def quick_network(monkeypatch):
    """Models that describe pictures by their contrast, by the weights' length; names described."""
    described = []

    def load_model(folder):
        return SimpleNamespace(folder=Path(folder), config=ModelConfig((), width=0.125))

    def extractor(model, kind):
        of = np.random.default_rng((model.folder / "weights.npz").stat().st_size).random(LENGTH)

        def run(images, sizes):
            found = []
            for image in images:
                slopes = [np.diff(image.astype(np.float32), axis=a).std() for a in (0, 1)]
                found.append(np.log1p(np.resize([*slopes, image.mean()], LENGTH)) * of)
            described.extend(range(len(images)))
            return np.array(found, np.float32)

        return run

    monkeypatch.setattr(benchmark_run, "load_model", load_model)
    monkeypatch.setattr(EXTRACT, "extractor", extractor)
    monkeypatch.setattr(EXTRACT, "batch_size", lambda canvas, number: 1)
    return described


@pytest.fixture
def config(tmp_path, sample) -> BenchmarkConfig:
    """Eight references in three small versions each, rated."""
    rows = []
    for k, image in enumerate([*sample.values()][:4] * 2):
        part = np.ascontiguousarray(image[40 * k : 40 * k + 80, 60:140])
        for level in range(3):
            cv2.imwrite(str(tmp_path / f"{k}_{level}.png"), cv2.blur(part, (1 + 2 * level,) * 2))
            rows.append(f"{k}_{level}.png,{5 - level - k / 10},{k}")
    (tmp_path / "ratings.csv").write_text("\n".join(["image,score,reference", *rows, ""]))
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    (model / "weights.npz").write_bytes(b"weights")
    (model / "model.json").write_text("{}")
    return BenchmarkConfig(
        (tmp_path / "ratings.csv",), tmp_path / "out", (model,), ("svr-linear",), repetitions=2
    )


def tables(config: BenchmarkConfig) -> dict[str, bytes]:
    run_benchmark(config)
    return {name: (config.out / name).read_bytes() for name in TABLES}


def test_the_results_are_those_of_a_new_folder(config, quick_network, tmp_path):
    before = tables(config)
    quick_network.clear()
    assert tables(config) == before and not quick_network
    # Another picture under the name, another score, another seed, more repetitions.
    turned = cv2.imread(str(tmp_path / "3_1.png"))[::-1]
    cv2.imwrite(str(tmp_path / "3_1.png"), cv2.blur(turned, (9, 9)))
    table = config.ratings[0]
    table.write_text(table.read_text().replace("5_2.png,2.5", "5_2.png,4.25"))
    other = replace(config, seed=3, repetitions=3)
    again = tables(other)
    assert len(quick_network) == 1
    fresh = tables(replace(other, out=tmp_path / "fresh"))
    assert again == fresh and again["summary.csv"] != before["summary.csv"]
    for name in ("features/ratings/run/index.csv", "baselines/ratings/brisque.csv"):
        assert (config.out / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
    with (config.out / "features/ratings/run/index.csv").open() as file:
        scores = {row["image"]: row["score"] for row in csv.DictReader(file)}
    assert scores["5_2.png"] == "4.25"


def test_another_model_of_the_same_name_is_refused(config, quick_network, tmp_path):
    run_benchmark(config)
    model = tmp_path / "elsewhere" / "run" / "model"
    model.mkdir(parents=True)
    (model / "weights.npz").write_bytes(b"other weights")
    (model / "model.json").write_text("{}")
    with pytest.raises(InputError, match=r"ratings/run: holds .*the model's weights differ"):
        run_benchmark(replace(config, model=(model,)))


def test_other_crops_and_another_database_of_the_name_are_refused(config, quick_network, tmp_path):
    run_benchmark(config)
    with pytest.raises(InputError, match="crops: none there, 2 of 75, avg, seed 0 now"):
        run_benchmark(replace(config, crops=2, crop_size=75))
    (tmp_path / "sub").mkdir()
    table = tmp_path / "sub" / "ratings.csv"
    lines = config.ratings[0].read_text().splitlines()
    table.write_text("\n".join([lines[0], *(f"../{line}" for line in lines[1:]), ""]))
    with pytest.raises(InputError, match=r"24 rows there, 24 now; 0_0\.png is only there"):
        run_benchmark(replace(config, ratings=(table,)))
