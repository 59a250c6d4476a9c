import numpy as np
import pytest

from distortions import distort
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
