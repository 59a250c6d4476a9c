"""The metrics without golden numbers, against NumPy written from their docstrings, and in order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.fft import dctn
from skimage import data

from distortions import distort
from fr_metrics import METRICS, score
from fr_metrics.add_gsim import _ranked_mean
from fr_metrics.operations.soft_histogram import soft_histogram
from fr_metrics.scqi import _dct

UNVERIFIED = ("scqi", "add_gsim")
BLUR, JPEG, NOISE = "gaussian_blur", "jpeg", "white_noise"
# A rounding error off 0, a chromaticity similarity comes back from the power 0.02 as one half.
TOLERANCE = {"scqi": 1e-6, "add_gsim": 1e-12}


def test_they_say_that_they_are_not_verified():
    for name in UNVERIFIED:
        assert not METRICS[name].verified
        assert "NOT verified against the authors' program" in METRICS[name].function.__doc__


def similar(a, b, constant):
    return (2 * a * b + constant) / (a**2 + b**2 + constant)


def halved(plane, factor=2):
    """Means of factor x factor pixels, zeros beyond the last row and column."""
    height, width = (-(-size // factor) * factor for size in plane.shape)
    padded = np.zeros((height, width))
    padded[: plane.shape[0], : plane.shape[1]] = plane
    return padded.reshape(height // factor, factor, width // factor, factor).mean((1, 3))


def expected_scqi(reference, distorted):
    factor = max(1, int(min(reference.shape[:2]) / 256 + 0.5))

    def features(image):
        red, green, blue = (halved(image[..., i].astype(float), factor) for i in range(3))
        blocks = np.lib.stride_tricks.sliding_window_view(
            0.06 * red + 0.63 * green + 0.27 * blue, (4, 4)
        )
        energy = dctn(blocks, axes=(2, 3), norm="ortho") ** 2
        energy[..., 0, 0] = 0
        order = np.add.outer(np.arange(4), np.arange(4))
        contrasts = [
            np.sqrt(energy[..., np.isin(order, orders)].sum(-1) / 16)
            for orders in ([1], [2, 3], [4, 5, 6])
        ]
        total = energy.sum((2, 3))
        kurtosis = (15 * (energy**2).sum((2, 3)) + 1) / (total**2 + 1)
        return [
            np.sqrt(total / 16) / kurtosis**0.25,
            *contrasts,
            (0.30 * red + 0.04 * green - 0.35 * blue)[1:-2, 1:-2],
            (0.34 * red - 0.60 * green + 0.17 * blue)[1:-2, 1:-2],
        ]

    pairs = list(zip(features(reference), features(distorted), strict=True))
    structural, low, middle, high = (similar(a, b, 0.0009 * 255**2) for a, b in pairs[:4])
    chroma = similar(*pairs[4], 130) * similar(*pairs[5], 130)
    quality = structural * (low * middle * high) ** (1 / 3) * np.real((chroma + 0j) ** 0.02)
    return np.average(quality, weights=np.maximum(*pairs[0]))


def expected_add_gsim(reference, distorted):
    def shares(values, bins):
        position = values.ravel() * (bins - 1)
        left = np.minimum(position.astype(int), bins - 2)
        part = position - left
        counts = np.bincount(left, 1 - part, bins) + np.bincount(left + 1, part, bins)
        return counts / values.size

    def features(image):
        plane = np.floor(
            image @ np.array([0.298936021293776, 0.587043074451121, 0.114020904255103]) + 0.5
        )
        gradients, detail = [], 0.0
        for scale in range(4):
            if scale < 3:
                even = plane[: len(plane) // 2 * 2, : plane.shape[1] // 2 * 2]
                corners = [even[i::2, j::2] for i in range(2) for j in range(2)]
                signs = ([1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1])
                bands = [sum(s * c for s, c in zip(row, corners, strict=True)) / 2 for row in signs]
                detail += np.log2(1 + sum((band**2).mean() for band in bands))
            plane = halved(plane)
            if scale == 0:
                share = shares(plane / 255, 32)
                entropy = -sum(p * np.log2(p) for p in share if p > 0)
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(plane, 1), (3, 3))
            columns, rows = windows.sum(2) / 3, windows.sum(3) / 3
            gradients.append(
                np.hypot(columns[..., 2] - columns[..., 0], rows[..., 2] - rows[..., 0])
            )
        return gradients, detail, entropy

    (gradients1, detail1, entropy1), (gradients2, detail2, entropy2) = map(
        features, (reference, distorted)
    )
    score = similar(detail1, detail2, 1) * similar(entropy1, entropy2, 1)
    exponents = np.array([0.2856, 0.3001, 0.2363, 0.1333])
    for first, second, exponent in zip(gradients1, gradients2, exponents, strict=True):
        share = shares(1 - similar(first, second, 170), 32)
        ranks = np.concatenate([[0], np.cumsum(share)])
        mean = np.sum(np.diff(ranks**2) * np.linspace(0, 1, 32))
        score *= (1 - mean) ** (exponent / exponents.sum())
    return score


EXPECTED = {"scqi": expected_scqi, "add_gsim": expected_add_gsim}


@pytest.mark.parametrize("metric", UNVERIFIED)
@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_the_score_is_what_the_docstring_says(metric, name):
    # Down-sampling factors 1 and 2, the latter with odd sides.
    photograph = data.chelsea() if name == "chelsea" else data.coffee()[7:392, 40:555]
    versions = [distort(photograph, *each, seed=3) for each in ((BLUR, 4), (NOISE, 3), (4, 2))]
    with jax.enable_x64(True):
        values = np.asarray(score(metric, photograph, np.stack(versions)))
    expected = [EXPECTED[metric](photograph, version) for version in versions]
    np.testing.assert_allclose(values, expected, rtol=0, atol=TOLERANCE[metric])


@pytest.mark.parametrize("metric", UNVERIFIED)
@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket"])
def test_a_stronger_level_scores_lower(metric, name, hasty_score):
    photograph = getattr(data, name)()[:384, :512]
    # Otherwise the stretch that comes with every distortion would change the contrast as well.
    assert (photograph.min(), photograph.max()) == (0, 255)
    for distortion in (BLUR, JPEG, NOISE):
        versions = [distort(photograph, distortion, level, seed=1) for level in range(1, 6)]
        values = np.asarray(hasty_score(metric, photograph, np.stack(versions)))
        assert (np.diff(values) < 0).all(), (distortion, values)


def test_the_block_transform_is_the_orthonormal_dct():
    plane = np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32)
    blocks = np.lib.stride_tricks.sliding_window_view(plane, (4, 4))
    rows = _dct(jnp.asarray(plane[None]), axis=2)
    coefficients = [[_dct(each, axis=1)[v][0] for each in rows] for v in range(4)]
    expected = np.moveaxis(dctn(blocks, axes=(2, 3), norm="ortho"), (2, 3), (0, 1))
    np.testing.assert_allclose(np.array(coefficients), expected, atol=1e-5)


def test_a_soft_histogram_keeps_counts_and_means():
    maps = np.random.default_rng(1).random((2, 30, 40)).astype(np.float32) * 5
    shares = np.asarray(soft_histogram(jnp.asarray(maps), 8, 5.0))
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(shares @ np.linspace(0, 5, 8), maps.mean((1, 2)), rtol=1e-5)
    # Values on the centres are counted as they are.
    stepped = np.round(maps * 7 / 5) * 5 / 7
    counts = [
        np.bincount(np.round(each.ravel() * 7 / 5).astype(int), minlength=8) for each in stepped
    ]
    np.testing.assert_allclose(
        soft_histogram(jnp.asarray(stepped), 8, 5.0), np.array(counts) / 1200, atol=1e-5
    )


def test_ranked_means_are_close_to_those_of_sorting():
    maps = np.random.default_rng(2).random((3, 50, 60)) ** np.array([0.5, 2.0, 6.0])[:, None, None]
    ordered = np.sort(maps.reshape(3, -1), axis=1)
    weights = 2 * (np.arange(3000) + 0.5) / 3000
    ranked = _ranked_mean(jnp.asarray(maps.astype(np.float32)))
    np.testing.assert_allclose(ranked, (ordered * weights).mean(1), atol=5e-3)
    assert (np.asarray(ranked) > maps.mean((1, 2))).all()
