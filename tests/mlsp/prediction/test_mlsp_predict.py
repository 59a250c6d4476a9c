"""`predict`: files, folders and pixels give the same qualities, in the order they came in."""

import doctest
import sys

import cv2
import numpy as np
import pytest

from mlsp.prediction import predict
from mlsp.prediction.predicting import predict_files
from mlsp.prediction.predictor import Predictor
from mtl.evaluation.seen import SeenRatings, write_seen
from mtl.network.weights import load_model
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError


@pytest.fixture
def folder(tmp_path, sample):
    """Two photographs of different sizes, 120×140 and 150×130."""
    place = tmp_path / "photographs"
    place.mkdir()
    for name, size in (("coffee", (120, 140)), ("rocket", (150, 130))):
        image = sample[name][: size[0], : size[1], ::-1]
        cv2.imwrite(str(place / f"{name}.png"), image)
    return place


def test_files_folders_tables_and_pixels_agree(folder, sample, untrained):
    coffee, rocket = sample["coffee"][:120, :140], sample["rocket"][:150, :130]
    (folder / "table.csv").write_text("image\nrocket.png\n")
    paths = [folder / "coffee.png", folder / "rocket.png"]
    expected = list(predict_files(Predictor(untrained), paths))
    assert expected[0].quality != expected[1].quality
    mixed = predict([rocket, str(paths[0]), folder, folder / "table.csv", coffee], untrained)
    assert [p.image for p in mixed] == [
        "pictures[0]",
        *map(str, (paths[0], *paths, paths[1])),
        "pictures[4]",
    ]
    order = [expected[k] for k in (1, 0, 0, 1, 1, 0)]
    np.testing.assert_allclose(
        [p.quality for p in mixed], [p.quality for p in order], rtol=0, atol=1e-6
    )
    assert [p.scores.keys() for p in mixed] == [p.scores.keys() for p in order]
    stacked = predict(np.stack([coffee, coffee[::-1]]), untrained)
    assert [p.image for p in stacked] == ["pictures[0]", "pictures[1]"]
    assert stacked[0].quality == pytest.approx(expected[0].quality, abs=1e-6)
    assert stacked[1].quality != stacked[0].quality


def test_what_is_no_picture_is_refused(folder, sample, untrained):
    photo = sample["coffee"]
    for pictures, kind, message in (
        (photo / 255, TypeError, r"pictures\[0\] must be a path or pixels of type uint8.*float64"),
        ([photo, 3], TypeError, r"pictures\[1\] must be a path.*int"),
        ([photo[..., 0]], ValueError, r"pictures\[0\] must have shape \(h, w, 3\), got \(400, 600"),
        (photo[:20, :20], InputError, r"pictures\[0\]: 20×20 pixels are too few"),
        (folder / "gone.png", InputError, "gone.png: no such f"),
    ):
        with pytest.raises(kind, match=message):
            predict(pictures, untrained)
    (folder / "alone").mkdir()
    (folder / "alone" / "text.png").write_text("no picture")
    with pytest.raises(InputError, match=r"text\.png: is not a picture"):
        predict(folder / "alone", untrained)
    assert predict([], untrained) == []


def test_pictures_that_the_model_was_trained_on_are_refused(folder, untrained, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for file in load_model(untrained).folder.iterdir():
        (own / file.name).write_bytes(file.read_bytes())
    digest = content_digest(folder / "coffee.png")
    write_seen(own, [SeenRatings("ratings.csv", "0" * 64, {digest: "training"})])
    with pytest.raises(InputError, match=r"coffee\.png: the model was trained on it"):
        predict(folder, own)
    assert len(predict(folder / "coffee.png", own, seen=True)) == 1


def test_the_example_in_the_docstring():
    module = sys.modules[predict.__module__]
    tests = doctest.DocTestFinder().find(predict, module=module, globs={"predict": predict})
    runner = doctest.DocTestRunner()
    for test in tests:
        runner.run(test)
    assert (runner.failures, runner.tries) == (0, 5)
