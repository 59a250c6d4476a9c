"""Random crops as DeepBIQ takes them, and the pooling of what is said of them."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfl.commands import extract as command
from mlsp.features.crops import CropRows, Crops, pool_features, pool_predictions
from mlsp.features.extraction import extract_to
from mlsp.features.sources import Files, open_source
from mtl.network.model import ModelConfig
from mtl.network.networks import DEFAULT, NETWORKS
from mtl.runtime.files import InputError

LENGTH = 16_928
EXTRACT = sys.modules["mlsp.features.extraction"]  # the package has a function of this name


@given(st.integers(75, 400), st.integers(75, 400), st.integers(0, 3))
def test_crops_are_inside_and_depend_on_the_name(height, width, seed):
    crops = Crops(6, 150, seed=seed)
    boxes = crops.boxes("a.png", (height, width))
    assert len(boxes) == 6 and boxes == crops.boxes("a.png", (height, width))
    for top, left, h, w in boxes:
        assert (h, w) == (min(150, height), min(150, width))
        assert 0 <= top <= height - h and 0 <= left <= width - w
    if height > 200:
        assert boxes != crops.boxes("b.png", (height, width))


def test_crops_are_everywhere():
    tops = {box[0] for box in Crops(2000, 75).boxes("x", (85, 75))}
    assert tops == set(range(11))


def test_settings_that_cannot_work_are_refused():
    for settings, text in (
        ({"number": 0}, "--crops 0"),
        ({"number": 1, "size": 0}, "--crop-size 0"),
        ({"number": 1, "pool": "median"}, "--pool median"),
    ):
        with pytest.raises(InputError, match=text):
            Crops(**settings)
    with pytest.raises(InputError, match="--crop-size 74: at least 75 pixels"):
        CropRows(Files(Path(), [], []), Crops(1, 74))
    CropRows(Files(Path(), [], []), Crops(1, 74), NETWORKS["resnet50"])


def test_pooling_of_features_and_predictions():
    rows = np.array([[1.0, 5.0], [3.0, 1.0], [2.0, 9.0]])
    assert pool_features(rows, "min").tolist() == [1, 1]
    assert pool_features(rows, "avg").tolist() == [2, 5]
    assert pool_features(rows, "max").tolist() == [3, 9]
    assert pool_features(rows, "concat").tolist() == [1, 5, 3, 1, 2, 9]
    names, scores = ["a", "a", "b"], np.array([1.0, 2.0, 5.0])
    assert pool_predictions(names, scores, "avg") == {"a": 1.5, "b": 5.0}
    assert pool_predictions(names, scores, "min") == {"a": 1.0, "b": 5.0}
    assert pool_predictions(names, scores, "max") == {"a": 2.0, "b": 5.0}
    with pytest.raises(ValueError, match="3 names but 2"):
        pool_predictions(names, scores[:2], "avg")
    with pytest.raises(ValueError, match="not one of min, avg, max"):
        pool_features(rows, "none")


@pytest.fixture
def pictures(tmp_path, sample):
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), sample["chelsea"][:150, :200, ::-1])
    cv2.imwrite(str(folder / "narrow.png"), sample["china"][:200, :80, ::-1])
    cv2.imwrite(str(folder / "small.png"), sample["china"][:20, :20, ::-1])
    (folder / "text.png").write_text("no picture")
    return folder


def test_each_crop_can_be_a_row(pictures, sample):
    crops = Crops(3, 100, "none")
    rows = CropRows(open_source(pictures), crops)
    assert rows.names[:4] == ["a.png"] * 3 + ["narrow.png"]
    assert rows.size(0) == (100, 100) and rows.size(3) == (100, 80)  # cropped to what is there
    for index in range(3):
        box = {name: int(rows.columns[index][name]) for name in ("top", "left", "height", "width")}
        whole = sample["chelsea"][:150, :200]
        expected = whole[box["top"] : box["top"] + 100, box["left"] : box["left"] + 100]
        assert np.array_equal(rows.load(index), expected)
        assert rows.columns[index]["crop"] == str(index + 1)
    for bad in (6, 9):
        with pytest.raises(InputError):
            rows.size(bad)
        with pytest.raises(InputError):
            rows.load(bad)


def test_a_crops_place_takes_the_columns_of_these_names(pictures):
    table = pictures / "t.csv"
    table.write_text("Image Name,Width,tags\na.png,200,x\n")
    (row,) = CropRows(open_source(table), Crops(1, 100, "none")).columns
    assert row["width"] == "100" and row["tags"] == "x" and "Width" not in row


@pytest.fixture
def cheap(monkeypatch, tmp_path):
    """A model whose features are quick to compute: the mean of each picture's own pixels."""
    calls = []

    def extractor(model, kind):
        assert kind == "mlsp"

        def run(images, sizes):
            calls.append(images.shape)
            sizes = [images.shape[1:3]] * len(images) if sizes is None else sizes
            means = [image[:h, :w].mean() for image, (h, w) in zip(images, sizes, strict=True)]
            return np.repeat(np.array(means, np.float32)[:, None], LENGTH, axis=1)

        return run

    monkeypatch.setattr(EXTRACT, "extractor", extractor)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights.npz").write_bytes(b"weights")
    return SimpleNamespace(folder=tmp_path / "m", config=ModelConfig(()), calls=calls)


def test_crops_are_pooled_into_one_row_of_each_picture(cheap, pictures, tmp_path):
    source = open_source(pictures)
    each = extract_to(cheap, source, tmp_path / "none", crops=Crops(5, 100, "none"))
    assert each.names == ["a.png"] * 5 + ["narrow.png"] * 5
    assert {row["features"] for row in each.columns} == {"mlsp"}
    assert set(each.skipped) == {"small.png", "text.png"}
    values = np.asarray(each.matrix[:, 0], np.float64).reshape(2, 5)
    assert values.std(axis=1).min() > 0
    for pool, function in (("min", np.min), ("avg", np.mean), ("max", np.max)):
        found = extract_to(cheap, source, tmp_path / pool, crops=Crops(5, 100, pool))
        assert found.names == ["a.png", "narrow.png"]
        np.testing.assert_allclose(found.matrix[:, 7], function(values, axis=1), rtol=2e-3)
    joined = extract_to(cheap, source, tmp_path / "concat", crops=Crops(5, 100, "concat"))
    assert joined.matrix.shape == (2, 5 * LENGTH)
    np.testing.assert_allclose(joined.matrix[0, ::LENGTH], values[0], rtol=2e-3)
    with pytest.raises(InputError, match="of another model or kind"):
        extract_to(cheap, source, tmp_path / "avg", crops=Crops(5, 101, "avg"))
    with pytest.raises(InputError, match="of another model or kind"):
        extract_to(cheap, source, tmp_path / "avg")


def test_a_stopped_extraction_of_crops_continues(cheap, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("mlsp.features.store.SECONDS_BETWEEN_FLUSHES", 0.0)
    crops = Crops(20, 100, "avg")
    whole = extract_to(cheap, open_source(pictures), tmp_path / "whole", crops=crops)
    source = open_source(pictures)

    class Stopped(type(source)):
        def load(self, index):
            if self.names[index] == "a.png":
                raise KeyboardInterrupt
            return super().load(index)

    stopped = Stopped(source.root, source.names, source.columns)
    with pytest.raises(KeyboardInterrupt):
        extract_to(cheap, stopped, tmp_path / "parts", crops=crops)
    done = json.loads((tmp_path / "parts" / "partial.json").read_text())["done"]
    assert done == [1]  # narrow.png, whose canvas is the smaller
    parts = extract_to(cheap, source, tmp_path / "parts", crops=crops)
    assert np.array_equal(parts.matrix, whole.matrix) and parts.names == whole.names


def test_pictures_that_memory_cannot_hold_are_left_out(cheap, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(
        EXTRACT, "free_memory", lambda: 160 * 240 * NETWORKS[DEFAULT].bytes_per_pixel
    )
    found = extract_to(cheap, open_source(pictures), tmp_path / "out")
    assert "GB of memory" in found.skipped["a.png"] and found.names == ["narrow.png"]
    cropped = extract_to(
        cheap, open_source(pictures), tmp_path / "crops", crops=Crops(2, 80, "avg")
    )
    assert cropped.names == ["a.png", "narrow.png"]  # the remedy that the reason names


def test_the_command_takes_crops(cheap, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "load_model", lambda folder: cheap)
    out = str(tmp_path / "out")
    options = ["--crops", "4", "--crop-size", "90", "--pool", "none"]
    given = [str(pictures), "--model", "m", "--out", out]
    command.main([*given, *options])
    assert "features of 2 pictures, 8 crops; 2 left out" in capsys.readouterr().err
    with pytest.raises(InputError, match="--crop-size 10"):
        command.main([*given, "--crops", "2", "--crop-size", "10"])
