"""Batches: order, crops, equalised targets, and the parts that several processes read."""

import numpy as np
import pytest

from fr_metrics import HistogramEqualization
from mtl.training.batches import training_batches, validation_batches
from mtl.training.multitask.data import ScoredImages
from mtl.training.settings import Batching

CROP = (80, 80)


def training(images, epoch=0, first=0, rows=None, **changes):
    batching = Batching(**{"batch_size": 4, "crop": CROP, "flip": True, "seed": 0, **changes})
    batches = training_batches(images, batching, epoch, first=first, rows=rows)
    return [(b.images, b.targets) for b in batches]


def assert_equal(one, two):
    for (a, s), (b, t) in zip(one, two, strict=True):
        assert np.array_equal(a, b) and np.array_equal(s, t)


@pytest.fixture(scope="module")
def images(scored):
    return ScoredImages(scored, "train", ("ssim", "gmsd"), None)


def test_batches_depend_on_seed_and_epoch_alone(images):
    first = training(images)
    assert len(first) == len(images) // 4
    assert all(a.shape == (4, *CROP, 3) and a.dtype == np.uint8 for a, _ in first)
    assert_equal(first, training(images))
    targets = np.concatenate([t for _, t in first])
    for changes in ({"epoch": 1}, {"seed": 1}):
        other = np.concatenate([t for _, t in training(images, **changes)])
        assert not np.array_equal(targets, other)


def test_a_later_batch_is_the_same_without_those_before_it(images):
    whole = training(images)
    for first in range(len(whole) + 1):
        assert_equal(whole[first:], training(images, first=first))


def test_processes_read_parts_of_what_one_would(images):
    whole = training(images)
    parts = [training(images, rows=rows) for rows in (range(0, 1), range(1, 4))]
    together = [
        tuple(np.concatenate(arrays) for arrays in zip(a, b, strict=True))
        for a, b in zip(*parts, strict=True)
    ]
    assert_equal(whole, together)


def test_worker_processes_give_the_same_batches(images):
    assert_equal(training(images), training(images, workers=1))


def test_an_epoch_sees_every_image_once(images):
    seen = sorted(
        image.tobytes()
        for batch, _ in training(images, batch_size=5, crop=None, flip=False)
        for image in batch
    )
    assert seen == sorted(images[k]["image"].tobytes() for k in range(len(images)))


def test_validation_keeps_the_order_and_fills_the_last_batch(scored):
    images = ScoredImages(scored, "validation", ("ssim",), None)
    batches = list(validation_batches(images, Batching(3, CROP)))
    assert [b.number for b in batches] == [3, 2]
    assert all(b.images.shape == (3, *CROP, 3) for b in batches)
    centre = images[4]["image"][:, 8:88]
    assert np.array_equal(batches[1].images[1], centre)
    assert np.array_equal(batches[1].images[2], centre)
    part = list(validation_batches(images, Batching(3, CROP), rows=range(1, 3)))
    assert [b.number for b in part] == [3, 2]
    for ours, whole in zip(part, batches, strict=True):
        assert np.array_equal(ours.images, whole.images[1:])


def test_targets_are_the_equalised_scores(scored, images):
    equalization = HistogramEqualization.from_json((scored / "equalization.json").read_text())
    flat = ScoredImages(scored, "train", ("ssim", "gmsd"), equalization)
    columns = {
        metric: np.array([images[k]["target"][j] for k in range(len(images))], np.float64)
        for j, metric in enumerate(("ssim", "gmsd"))
    }
    expected = equalization.transform(columns)
    for j, metric in enumerate(("ssim", "gmsd")):
        targets = [flat[k]["target"][j] for k in range(len(flat))]
        np.testing.assert_allclose(targets, expected[metric], atol=1e-5)
        assert 0 <= min(targets) < 0.2 and 0.8 < max(targets) <= 1
