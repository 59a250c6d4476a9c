import numpy as np
import pytest

from distortions import DISTORTIONS, distort
from distortions.compression import jpeg

IMAGE = np.zeros((4, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (IMAGE.tolist(), TypeError, ["NumPy array", "list", "uint8"]),
        (None, TypeError, ["NumPy array", "NoneType"]),
        (IMAGE.astype(np.float32), TypeError, ["float32", "(4, 5, 3)", "uint8", "0..255"]),
        (IMAGE.astype(np.int64), TypeError, ["int64", "(4, 5, 3)"]),
        (IMAGE[..., 0], ValueError, ["(H, W, 3)", "(4, 5)"]),
        (IMAGE[None], ValueError, ["(H, W, 3)", "(1, 4, 5, 3)"]),
        (np.zeros((4, 5, 4), np.uint8), ValueError, ["(H, W, 3)", "(4, 5, 4)"]),
        (IMAGE[:0], ValueError, ["at least one pixel", "(0, 5, 3)"]),
        (np.ma.masked_equal(IMAGE, 1), TypeError, ["no mask", "uint8"]),
        (IMAGE.astype(bool), TypeError, ["bool", "uint8"]),
        (IMAGE.astype(np.uint16), TypeError, ["uint16", "uint8"]),
    ],
)
def test_images(image, error, words):
    with pytest.raises(error) as caught:
        distort(image, 1, 1)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("level", [0, 6, -1])
def test_level_out_of_range(level):
    with pytest.raises(ValueError, match=rf"level must be 1, 2, 3, 4 or 5, got {level}"):
        distort(IMAGE, 1, level)


@pytest.mark.parametrize("value", [True, 2.0, "3", None, np.True_, np.array([1])])
@pytest.mark.parametrize("what", ["level", "seed"])
def test_level_and_seed_of_the_wrong_type(what, value):
    arguments = {"level": 1, what: value}
    with pytest.raises(TypeError, match=f"{what} must be a whole number, got"):
        distort(IMAGE, 1, **arguments)


def test_negative_seed():
    with pytest.raises(ValueError, match="seed must be 0 or greater, got -1"):
        distort(IMAGE, 1, 1, seed=-1)


@pytest.mark.parametrize("value", [True, 1.0, None, (1,)])
def test_distortion_of_the_wrong_type(value):
    with pytest.raises(TypeError, match="distortion must be a name or a whole number, got"):
        distort(IMAGE, value, 1)


@pytest.mark.parametrize("number", [0, 26, -3])
def test_number_out_of_range(number):
    with pytest.raises(ValueError, match=f"distortion must be 1 to 25 or a name, got {number}"):
        distort(IMAGE, number, 1)


def test_misspelt_name_gets_near_matches():
    with pytest.raises(ValueError, match=r"'gausian_blur'; did you mean gaussian_blur"):
        distort(IMAGE, "gausian_blur", 1)
    with pytest.raises(ValueError, match=r"'zzz'; one of gaussian_blur, .*contrast_change"):
        distort(IMAGE, "zzz", 1)


def test_numpy_integers_are_whole_numbers():
    expected = distort(IMAGE, 11, 2, seed=3)
    result = distort(IMAGE, np.int64(11), np.uint8(2), seed=np.int32(3))
    np.testing.assert_array_equal(result, expected)


def test_jpeg_says_how_large_a_picture_may_be():
    with pytest.raises(ValueError, match="65500 pixels a side, the image is 65501x1"):
        jpeg(np.zeros((1, 65501, 3)), 43)


FLOATS = np.full((12, 15, 3), 0.5)
GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((FLOATS.tolist(), 1, GENERATOR), TypeError, ["NumPy array", "list", "0..1"]),
        ((IMAGE, 1, GENERATOR), TypeError, ["uint8", "float64", "0..1"]),
        ((FLOATS.astype(np.float32), 1, GENERATOR), TypeError, ["float32", "float64"]),
        ((FLOATS[..., :2], 1, GENERATOR), ValueError, ["(H, W, 3)", "(12, 15, 2)"]),
        ((FLOATS[:, :0], 1, GENERATOR), ValueError, ["at least one pixel"]),
        ((FLOATS * 255, 1, GENERATOR), ValueError, ["0..1", "from 127.5 to 127.5"]),
        ((FLOATS - 1, 1, GENERATOR), ValueError, ["0..1", "from -0.5 to -0.5"]),
        ((FLOATS * np.nan, 1, GENERATOR), ValueError, ["without NaN"]),
        ((FLOATS, True, GENERATOR), TypeError, ["amount", "True"]),
        ((FLOATS, "1", GENERATOR), TypeError, ["amount", "'1'"]),
        ((FLOATS, np.nan, GENERATOR), ValueError, ["amount", "finite"]),
        ((FLOATS, 1, 0), TypeError, ["rng", "numpy.random.Generator", "int"]),
    ],
)
@pytest.mark.parametrize("number", [1, 11])
def test_rows_of_the_table_check_what_comes(number, arguments, error, words):
    with pytest.raises(error) as caught:
        DISTORTIONS[number].apply(*arguments)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("number", DISTORTIONS)
def test_rows_of_the_table_take_arrays_of_any_layout(number):
    base = np.random.default_rng(3).random((80, 100, 3))
    view = base[::-2, ::-2]
    view.flags.writeable = False
    before = base.copy()
    apply, amount = DISTORTIONS[number].apply, DISTORTIONS[number].levels[2]
    expected = apply(np.ascontiguousarray(view), amount, np.random.default_rng(1))
    found = apply(view, amount, np.random.default_rng(1))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(base, before)
