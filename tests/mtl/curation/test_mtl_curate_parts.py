"""The pieces of the pristine stage: geometry, near-duplicates, and where to crop."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.curation.duplicates import DISTANCE, KeptHashes, perceptual_hash
from mtl.curation.pristine import (
    centre_offsets,
    crop,
    pristine_crop,
    span,
    spanned_shape,
    spanning_scale,
    too_small,
)
from mtl.curation.saliency import faces, importance, salient_offsets, spectral_residual

SIDES = st.integers(1, 20_000)
TARGETS = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


@given(st.tuples(SIDES, SIDES), TARGETS)
def test_a_spanned_photograph_covers_the_target_and_keeps_its_shape(shape, size):
    spanned = spanned_shape(shape, size)
    scale = spanning_scale(shape, size)
    assert spanned[0] >= size[0] and spanned[1] >= size[1]
    assert spanned[0] == size[0] or spanned[1] == size[1]
    for before, after in zip(shape, spanned, strict=True):
        assert abs(before * scale - after) <= 0.5 + 1e-6
    assert (scale > 1) == (too_small(shape, size) is not None)
    top, left = centre_offsets(spanned, size)
    assert 0 <= top <= spanned[0] - size[0] and 0 <= left <= spanned[1] - size[1]
    for offset, outer, inner in zip((top, left), spanned, size, strict=True):
        assert 0 <= outer - inner - 2 * offset <= 1


@given(
    st.tuples(st.integers(8, 60), st.integers(8, 60)),
    st.tuples(st.integers(4, 40), st.integers(4, 40)),
    st.integers(0, 2**32 - 1),
)
def test_crops_have_the_size_asked_for(shape, size, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    spanned = span(image, size, enlarge=True)
    assert spanned.shape[:2] == spanned_shape(shape, size)
    top, left = salient_offsets(spanned, size)
    assert 0 <= top <= spanned.shape[0] - size[0] and 0 <= left <= spanned.shape[1] - size[1]
    assert crop(spanned, (top, left), size).shape == (*size, 3)
    if too_small(shape, size):
        with pytest.raises(ValueError, match="is smaller than"):
            span(image, size)


def test_area_interpolation_is_the_mean_of_the_pixels_covered(sample):
    image = sample["coffee"]  # 400×600
    halved = image.reshape(200, 2, 300, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(span(image, (200, 250)) - halved).max() <= 0.5
    assert np.array_equal(pristine_crop(image, (200, 250)), span(image, (200, 250))[:, 25:275])


def test_enlarging_is_only_on_request_and_smooth(sample):
    image = sample["chelsea"][:100, :150]
    with pytest.raises(ValueError, match="150×100 is smaller than 300×200"):
        span(image, (200, 300))
    large = span(image, (200, 300), enlarge=True)
    back = cv2.resize(large, (150, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(back.astype(float) - image).mean() < 3


def distance(a: np.ndarray, b: np.ndarray) -> int:
    return (perceptual_hash(a) ^ perceptual_hash(b)).bit_count()


def test_the_same_photograph_in_another_size_or_encoding_is_near(sample):
    for image in sample.values():
        height, width = image.shape[:2]
        poor = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1)
        small = cv2.resize(image, (160, 160 * height // width), interpolation=cv2.INTER_AREA)
        tone = np.round(255 * (image / 255) ** 0.8).astype(np.uint8)
        assert max(distance(image, other) for other in (poor, small, tone)) <= DISTANCE


def test_different_photographs_are_far_apart(sample):
    images = list(sample.values())
    for k, image in enumerate(images):
        assert all(distance(image, other) > 2 * DISTANCE for other in images[:k])
        assert distance(image, image[:, ::-1]) > 2 * DISTANCE


def test_a_hash_is_half_ones_and_a_flat_picture_has_none(sample):
    assert perceptual_hash(sample["china"]).bit_count() == 32
    assert perceptual_hash(np.full((50, 70, 3), 90, np.uint8)) == 0


def test_the_nearest_kept_hash_is_the_first_of_equals():
    kept = KeptHashes(3)
    assert kept.nearest(5) is None
    for name, value in (("a", 0b1111), ("b", 0b0011), ("c", 2**64 - 1)):
        kept.add(name, value)
    assert kept.nearest(0b0111) == ("a", 1)
    assert kept.nearest(2**64 - 2) == ("c", 1)


def scene(top: int, left: int, shape=(96, 300)) -> np.ndarray:
    """A dim even ground, lightly grained, with one bright object of 20×20 pixels."""
    image = np.random.default_rng(0).integers(60, 64, (*shape, 3), np.uint8)
    image[top : top + 20, left : left + 20] = (250, 240, 120)
    return image


@pytest.mark.parametrize("left", [5, 60, 140, 220, 275])
def test_the_salient_crop_keeps_a_bright_object(left):
    size = (96, 128)
    image = scene(40, left)
    _, found = salient_offsets(image, size)
    assert found <= left and left + 20 <= found + size[1]
    _, found = salient_offsets(np.ascontiguousarray(image.swapaxes(0, 1)), size[::-1])[::-1]
    assert found <= left and left + 20 <= found + size[1]


def test_the_object_is_where_the_spectral_residual_is_largest():
    saliency = spectral_residual(scene(40, 220))
    assert saliency.min() == 0 and saliency.max() == 1
    row, column = np.unravel_index(saliency.argmax(), saliency.shape)
    assert abs(row / saliency.shape[0] - 50 / 96) < 0.15
    assert abs(column / saliency.shape[1] - 230 / 300) < 0.05


def test_a_picture_with_nothing_in_it_is_cropped_at_the_centre():
    flat = np.full((96, 301, 3), 128, np.uint8)
    assert salient_offsets(flat, (96, 128)) == centre_offsets((96, 301), (96, 128))
    assert salient_offsets(flat[:, :128], (96, 128)) == (0, 0)
    with pytest.raises(ValueError, match="301×96 is smaller than the crop"):
        salient_offsets(flat, (97, 128))


def test_a_face_is_found_and_kept(sample):
    image = sample["astronaut"]  # 512×512, the face around row 110, column 225
    found = faces(image, (256, 256))
    assert any(t < 110 < b and le < 225 < r for t, le, b, r in found)
    at_face = importance(image, (256, 256))[110, 225]
    assert at_face > importance(image, (256, 256))[300:].max()
    # Beside something that draws the eye, the face still stays.
    busy = np.random.default_rng(0).integers(0, 256, (512, 700, 3), np.uint8)
    wide = np.concatenate([image, cv2.GaussianBlur(busy, (0, 0), 3)], axis=1)
    for picture, column in ((wide, 225), (wide[:, ::-1], 1211 - 225)):
        _, left = salient_offsets(np.ascontiguousarray(picture), (512, 600))
        assert left <= column - 50 and column + 50 <= left + 600
