import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import distortions
from distortions import DISTORTIONS, distort

SETTINGS = settings(deadline=None, max_examples=12, database=None)
EDGE_SHAPES = [(1, 1), (1, 9), (9, 1), (7, 9), (2, 60), (60, 3), (33, 47)]
# A constant grey picture has no edges, no chroma, no second colour and nothing to stretch, so these
# leave it alone.
NEUTRAL_ON_GRAY = (1, 2, 3, 4, 5, 6, 7, 8, 9, 19, 20, 21, 22, 24)


@st.composite
def pictures(draw) -> np.ndarray:
    shape = (draw(st.integers(1, 64)), draw(st.integers(1, 64)), 3)
    kind = draw(st.sampled_from(["noise", "constant", "ramp", "narrow", "sparse"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if kind == "noise":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if kind == "constant":
        return np.full(shape, draw(st.integers(0, 255)), dtype=np.uint8)
    if kind == "ramp":
        return np.linspace(0, 255, int(np.prod(shape))).astype(np.uint8).reshape(shape)
    if kind == "narrow":
        return rng.integers(100, 103, shape, dtype=np.uint8)
    return (255 * (rng.random(shape) < 0.02)).astype(np.uint8)


@pytest.mark.parametrize("number", DISTORTIONS)
@given(image=pictures(), level=st.integers(1, 5), seed=st.integers(0, 2**70))
@SETTINGS
def test_shape_type_purity_and_repeatability(number, image, level, seed):
    before = image.copy()
    result = distort(image, number, level, seed=seed)
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(distort(image, number, level, seed=seed), result)
    by_name = distort(image, DISTORTIONS[number].name, level, seed=seed)
    np.testing.assert_array_equal(by_name, result)


@pytest.mark.parametrize("number", DISTORTIONS)
@given(image=pictures(), level=st.integers(1, 5))
@SETTINGS
def test_result_spans_the_full_range_or_is_constant(number, image, level):
    result = distort(image, number, level)
    assert result.min() == result.max() or (result.min(), result.max()) == (0, 255)


@pytest.mark.parametrize("shape", EDGE_SHAPES)
@pytest.mark.parametrize("number", DISTORTIONS)
def test_small_pictures(number, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for level in range(1, 6):
        assert distort(image, number, level).shape == image.shape


@pytest.mark.parametrize("number", DISTORTIONS)
@pytest.mark.parametrize("gray", [0, 1, 100, 255])
def test_constant_pictures(number, gray):
    image = np.full((20, 31, 3), gray, dtype=np.uint8)
    for level in range(1, 6):
        result = distort(image, number, level)
        if not DISTORTIONS[number].is_random:
            assert result.min() == result.max()
        if number in NEUTRAL_ON_GRAY:
            np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("number", DISTORTIONS)
def test_working_picture_is_not_modified(number):
    image = np.random.default_rng(1).random((50, 60, 3))
    image.flags.writeable = False
    row = DISTORTIONS[number]
    result = row.apply(image, row.levels[4], np.random.default_rng(0))
    assert result.shape == image.shape
    assert result.dtype == np.float64


def test_views_and_read_only_arrays():
    base = np.random.default_rng(2).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    view = base[::2, ::-1]
    view.flags.writeable = False
    for number in DISTORTIONS:
        expected = distort(np.ascontiguousarray(view), number, 3)
        np.testing.assert_array_equal(distort(view, number, 3), expected)


def test_seeds_and_levels_have_streams_of_their_own():
    image = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for number in (11, 12, 13, 14, 19, 20, 23):
        results = {distort(image, number, 5, seed=seed).tobytes() for seed in range(4)}
        assert len(results) == 4
    noise = [distort(image, 13, level).astype(int) - image for level in (4, 5)]
    assert not set(np.flatnonzero(noise[0])) <= set(np.flatnonzero(noise[1]))


def test_the_seed_does_not_touch_deterministic_types():
    image = np.random.default_rng(4).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for number, row in DISTORTIONS.items():
        if not row.is_random:
            expected = distort(image, number, 4)
            np.testing.assert_array_equal(distort(image, number, 4, seed=99), expected)


HASHES_ELSEWHERE = """
import hashlib, json
import cv2, numpy as np
from distortions import DISTORTIONS, distort
cv2.setNumThreads(1)
image = np.random.default_rng(5).integers(0, 256, (96, 128, 3), dtype=np.uint8)
print(json.dumps({
    f"{number} {level}": hashlib.sha256(distort(image, number, level, seed=7)).hexdigest()
    for number in reversed(DISTORTIONS) for level in (5, 2)
}))
"""


def test_same_bytes_in_another_process_order_and_thread_count():
    image = np.random.default_rng(5).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    here = {
        f"{number} {level}": hashlib.sha256(distort(image, number, level, seed=7)).hexdigest()
        for number in DISTORTIONS
        for level in (2, 5)
    }
    elsewhere = subprocess.run(
        [sys.executable, "-B", "-c", HASHES_ELSEWHERE],
        env={**os.environ, "PYTHONPATH": str(Path(distortions.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(elsewhere.stdout) == here
