"""The indicators against other programs and formulas written out."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mlsp.choosing.content import content_clusters
from mlsp.choosing.indicators import INDICATORS, cdf97, colorfulness, fish, measured
from mlsp.choosing.jpeg_quality import jpeg_quality, luminance_table, quality_of_table
from mtl.curation.duplicates import Y_WEIGHTS
from mtl.runtime.files import InputError

# The filters of CDF 9/7 as published (Antonini et al. 1992; ISO 15444-1, table F), from the middle.
LOW = (0.602949018236, 0.266864118443, -0.078223266529, -0.016864118443, 0.026748757411)
HIGH = (1.115087052457, -0.591271763114, -0.057543526229, 0.091271763114)


def symmetric(half: tuple[float, ...]) -> np.ndarray:
    return np.array([*half[:0:-1], *half])


def filtered(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high band by convolution, mirrored at both ends without repeating them."""
    padded = np.pad(signal, 4, mode="reflect")
    low = np.convolve(padded, symmetric(LOW) * np.sqrt(2), "valid")
    high = np.convolve(padded, symmetric(HIGH) / np.sqrt(2), "valid")[1:-1]
    return low[0::2], high[1::2]


@given(st.integers(6, 40), st.integers(0, 1000))
def test_the_wavelet_is_that_of_the_published_filters(length, seed):
    signal = np.random.default_rng(seed).normal(size=length)
    low, high = cdf97(signal[:, None])
    expected = filtered(signal)
    assert np.allclose(low[:, 0], expected[0], atol=1e-9)
    assert np.allclose(high[:, 0], expected[1], atol=1e-9)


def test_a_constant_has_no_high_band_and_the_energy_is_nearly_kept():
    low, high = cdf97(np.full((11, 3), 7.0))
    assert np.allclose(low, 7 * np.sqrt(2)) and np.allclose(high, 0)
    noise = np.random.default_rng(0).normal(size=(4096, 1))
    low, high = cdf97(noise)
    assert (low**2).sum() + (high**2).sum() == pytest.approx((noise**2).sum(), rel=0.05)


def test_sharpness_is_the_weighted_sum_of_log_energies(sample):
    luminance = sample["coffee"] @ Y_WEIGHTS
    expected, low = 0.0, luminance
    for level in (1, 2, 3):
        columns = [filtered(column) for column in low.T]
        bands = []
        for half in (np.stack([c[k] for c in columns], axis=1) for k in (0, 1)):
            rows = [filtered(row) for row in half]
            bands += [np.stack([r[k] for r in rows]) for k in (0, 1)]
        low, *details = bands
        energies = [np.log10(1 + (band**2).mean()) for band in details]
        both = (energies[0] + energies[1]) / 2
        expected += 2 ** (3 - level) * (0.2 * both + 0.8 * energies[2])
    assert fish(luminance) == pytest.approx(expected, rel=1e-6)


def test_blur_lowers_sharpness_and_a_plain_picture_has_none(sample):
    for image in sample.values():
        luminance = image @ Y_WEIGHTS
        blurred = [fish(cv2.GaussianBlur(luminance, (0, 0), sigma)) for sigma in (1, 2, 4)]
        assert fish(luminance) > blurred[0] > blurred[1] > blurred[2] > 0
    assert fish(np.full((96, 128), 99.0)) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="8×8"):
        fish(np.zeros((7, 100)))


def test_colourfulness_is_hasler_and_suesstrunks(sample):
    image = sample["flower"].astype(float)
    rg = image[..., 0] - image[..., 1]
    yb = 0.5 * (image[..., 0] + image[..., 1]) - image[..., 2]
    expected = np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert colorfulness(sample["flower"]) == pytest.approx(expected)
    grey = np.repeat(sample["flower"][..., :1], 3, axis=2)
    assert colorfulness(grey) == 0


def test_all_indicators_of_a_file(tmp_path, sample):
    image = sample["china"]
    path = tmp_path / "china.jpg"
    Image.fromarray(image).save(path, quality=63)
    crop = image[:96, :128]
    found = measured(path, image.shape[:2], crop)
    assert list(found) == list(INDICATORS)
    luminance = 0.299 * crop[..., 0] + 0.587 * crop[..., 1] + 0.114 * crop[..., 2]
    pixels = image.shape[0] * image.shape[1]
    assert found["bitrate"] == pytest.approx(8 * path.stat().st_size / pixels, rel=1e-5)
    assert (found["resolution"], found["jpeg_quality"]) == (pixels, 63)
    assert found["brightness"] == pytest.approx(luminance.mean(), rel=1e-5)
    assert found["contrast"] == pytest.approx(luminance.std() / 255, rel=1e-5)
    assert found["sharpness"] == pytest.approx(fish(luminance), rel=1e-5)


SMALL = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


@given(st.integers(1, 100), st.booleans(), st.booleans(), st.sampled_from(["RGB", "L", "CMYK"]))
def test_the_quality_of_a_jpeg_file_is_read_exactly(
    tmp_path_factory, quality, optimize, progressive, mode
):
    path = tmp_path_factory.mktemp("jpeg") / "a.jpg"
    Image.fromarray(SMALL).convert(mode).save(
        path, quality=quality, optimize=optimize, progressive=progressive
    )
    assert jpeg_quality(path) == quality
    written, data = cv2.imencode(".jpg", SMALL, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert written
    path.write_bytes(data.tobytes())
    assert jpeg_quality(path) == quality


def test_the_tables_differ_and_others_get_the_nearest_quality(tmp_path):
    tables = {tuple(luminance_table(quality)) for quality in range(1, 101)}
    assert len(tables) == 100
    wide = luminance_table(10).copy()
    wide[wide == 255] = 600  # of 16 bits
    assert quality_of_table(wide) == 10
    assert quality_of_table(luminance_table(70) + np.arange(64) % 2) in (69, 70)
    path = tmp_path / "own.jpg"
    table = np.clip(luminance_table(85) + 1, 1, 255).tolist()
    Image.fromarray(SMALL).save(path, qtables=[table, table])
    assert abs(jpeg_quality(path) - 85) <= 5


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_what_is_not_jpeg_counts_as_100(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(SMALL).save(path)
    assert jpeg_quality(path) == 100


def test_a_lossless_jpeg_counts_as_100(tmp_path, sample):
    Image.fromarray(sample["flower"][:64, :64]).save(tmp_path / "lossy.jpg", quality=50)
    data = (tmp_path / "lossy.jpg").read_bytes()
    while (start := data.find(b"\xff\xdb")) > 0:  # such files have no quantisation table
        data = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
    (tmp_path / "lossless.jpg").write_bytes(data.replace(b"\xff\xc0", b"\xff\xc3"))
    assert jpeg_quality(tmp_path / "lossless.jpg") == 100


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(InputError, match=r"a\.jpg: is not a picture"):
        jpeg_quality(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="no such file"):
        jpeg_quality(tmp_path / "b.jpg")
    cut = io.BytesIO()
    Image.fromarray(SMALL).save(cut, "JPEG")
    (tmp_path / "c.jpg").write_bytes(cut.getvalue()[:30])
    with pytest.raises(InputError, match=r"c\.jpg"):
        jpeg_quality(tmp_path / "c.jpg")


def test_clusters_find_what_belongs_together_and_are_the_same_for_a_seed():
    rng = np.random.default_rng(0)
    sizes = (12, 30, 18)
    true = np.repeat([0, 1, 2], sizes)
    features = (10 * np.eye(3)[true] + rng.normal(size=(60, 3))).astype(np.float16)
    found = content_clusters(features, 3, seed=1)
    assert np.bincount(found).tolist() == [30, 18, 12]  # from the largest down
    assert [len({*found[true == k]}) for k in range(3)] == [1, 1, 1]
    assert np.array_equal(found, content_clusters(features, 3, seed=1))
    assert set(content_clusters(np.zeros((5, 4)), 3, seed=0)) == {0}
    assert len(set(content_clusters(features[:4], 200, seed=0))) == 4
