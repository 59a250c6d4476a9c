"""The denoiser of type 15: exact arithmetic, the network it claims to be, and what it does."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import correlate

import distortions
from distortions import denoiser as module
from distortions import distort
from distortions.denoiser import LARGEST_EXACT, LAYERS, WEIGHTS, Denoiser, load_denoiser
from distortions.noise import denoise

SIDE = 128  # pixels; of the pictures denoised here


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    with np.load(WEIGHTS, allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def gray(sample) -> np.ndarray:
    return sample["china"][100 : 100 + SIDE, 200 : 200 + SIDE].mean(axis=2) / 255


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    """With unclipped noise of `sigma` grey levels."""
    return image + sigma / 255 * np.random.default_rng(0).standard_normal(image.shape)


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((image - reference) ** 2)))


def plain_noise(weights: dict[str, np.ndarray], plane: np.ndarray) -> np.ndarray:
    """The network in float64, written down once more; sides are multiples of 8."""

    def unshuffle(x):
        return np.concatenate([x[i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=2)

    def shuffle(x):
        height, width, channels = x.shape
        y = np.empty((2 * height, 2 * width, channels // 4))
        for k, part in enumerate(np.split(x, 4, axis=2)):
            y[k // 2 :: 2, k % 2 :: 2] = part
        return y

    def layer(name, x):
        kernel, bias = (weights[f"{name}/{part}"].astype(float) for part in ("kernel", "bias"))
        outputs = [
            bias[o]
            + sum(
                correlate(x[..., i], kernel[:, :, i, o], mode="constant") for i in range(x.shape[2])
            )
            for o in range(len(bias))
        ]
        return np.stack(outputs, axis=2)

    def block(name, x):
        return x + layer(f"{name}_2", np.maximum(layer(f"{name}_1", x), 0))

    half = block("encode_half", layer("head", unshuffle(plane[..., None])))
    quarter = block("encode_quarter", layer("to_quarter", unshuffle(half)))
    eighth = layer("to_eighth", unshuffle(quarter))
    eighth = block("eighth_b", block("eighth_a", eighth))
    quarter = block("decode_quarter", quarter + shuffle(layer("from_eighth", eighth)))
    half = block("decode_half", half + shuffle(layer("from_quarter", quarter)))
    return shuffle(layer("tail", half))[..., 0]


@pytest.mark.parametrize("sigma", [10, 50, 99])
def test_whole_numbers_lose_next_to_nothing(weights, gray, sigma):
    picture = noisy(gray[:32, :32], sigma)
    plain = plain_noise(weights, picture)
    whole = load_denoiser().noise(picture)
    # A grey level, where the best denoisers are wrong by five and more: 0.1 dB at most.
    assert np.sqrt(np.mean((whole - plain) ** 2)) < 1 / 255


def test_no_sum_can_leave_the_whole_numbers_that_float32_holds():
    checked = 0
    for name, layer in load_denoiser().layers.items():
        kernel, bias = layer.kernel.astype(float), layer.bias.astype(float)
        np.testing.assert_array_equal(kernel, np.rint(kernel))
        np.testing.assert_array_equal(bias, np.rint(bias))
        low, high = module._input_bounds(name, module._INPUT if name == "head" else "")
        terms = np.stack([kernel * low, kernel * high])
        assert (terms.max(axis=0).sum(axis=(0, 1)) + np.maximum(bias, 0)).max() <= LARGEST_EXACT
        assert (terms.min(axis=0).sum(axis=(0, 1)) + np.minimum(bias, 0)).min() >= -LARGEST_EXACT
        checked += 1
    assert checked == len(LAYERS)


HASH_ELSEWHERE = """
import hashlib, sys
import numpy as np
from distortions.denoiser import load_denoiser
plane = np.random.default_rng(3).random((91, 120))
print(hashlib.sha256(load_denoiser().noise(plane).tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    "setting",
    [
        {"OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Prescott"},
    ],
    ids=["one thread", "two threads", "code for a processor of 2004"],
)
def test_same_bits_with_other_threads_and_other_processors(setting):
    plane = np.random.default_rng(3).random((91, 120))
    here = hashlib.sha256(load_denoiser().noise(plane).tobytes()).hexdigest()
    elsewhere = subprocess.run(
        [sys.executable, "-B", "-c", HASH_ELSEWHERE],
        env={**os.environ, "PYTHONPATH": str(Path(distortions.__file__).parents[1]), **setting},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == here


def test_same_bits_in_other_portions(monkeypatch, gray):
    expected = load_denoiser().noise(gray)
    monkeypatch.setattr(module, "PIXELS_AT_A_TIME", 77)
    np.testing.assert_array_equal(load_denoiser().noise(gray), expected)


def test_channels_are_treated_one_by_one(gray):
    planes = [noisy(gray, 20), noisy(gray[::-1], 40)]
    expected = [plane - load_denoiser().noise(plane) for plane in planes]
    result = load_denoiser().denoise(np.stack(planes, axis=2))
    np.testing.assert_array_equal(result, np.stack(expected, axis=2))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 9), (8, 8), (33, 47)])
def test_any_size(shape):
    plane = np.random.default_rng(0).random(shape)
    noise = load_denoiser().noise(plane)
    assert noise.shape == shape
    assert np.isfinite(noise).all()


@pytest.mark.parametrize(("sigma", "gain"), [(15, 5.5), (25, 7.5), (50, 10.5), (99, 14)])
def test_noise_is_removed(sample, sigma, gain):
    """Published blind DnCNN gains 7.0, 9.0 and 12.1 dB at 15, 25 and 50 over 68 pictures."""
    gains = []
    for image in sample.values():
        clean = image[60 : 60 + 2 * SIDE, 100 : 100 + 2 * SIDE].mean(axis=2) / 255
        picture = noisy(clean, sigma)
        cleaned = picture - load_denoiser().noise(picture)
        gains.append(psnr(cleaned, clean) - psnr(picture, clean))
    assert np.mean(gains) > gain
    assert min(gains) > gain - 4.5


def test_no_grain_remains_at_the_strongest_level():
    """Noise of variance 0.15 on mid grey: what is left is a blotch, not grain."""
    image = np.full((SIDE, SIDE, 3), 0.5)
    result = denoise(image, 0.15, np.random.default_rng(1).standard_normal(image.shape))
    grain = result[:, 1:] - result[:, :-1]
    assert 255 * grain.std() < 2.0  # grey levels; that of the noise is above 100
    assert 255 * result.std() < 8.0


def test_a_clean_picture_is_left_almost_alone(sample):
    clean = sample["china"][:SIDE, :SIDE].mean(axis=2) / 255
    assert psnr(clean - load_denoiser().noise(clean), clean) > 35


def test_strong_noise_costs_contrast(chelsea):
    """Clipped noise pulls towards mid grey; the denoiser must not undo it."""
    image = np.zeros((64, 64, 3))
    image[:, 32:] = 1.0
    result = denoise(image, 0.15, np.random.default_rng(0).standard_normal(image.shape))
    dark, bright = result[8:56, 8:24].mean(), result[8:56, 40:56].mean()
    # E[max(0, n)] = sigma / sqrt(2 pi), little changed by the other limit.
    lost = np.sqrt(0.15 / (2 * np.pi))
    assert dark == pytest.approx(lost, abs=0.04)
    assert bright == pytest.approx(1 - lost, abs=0.04)


def test_levels_get_worse(chelsea):
    image = chelsea[100:260, 100:300]
    errors = [
        np.mean((distort(image, "denoise", level).astype(float) - distort(image, 1, 1)) ** 2)
        for level in range(1, 6)
    ]
    assert errors == sorted(errors)


def test_record_of_the_training():
    record = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert record["photographs"]["held_out"] >= 50
    assert set(record["psnr_held_out_db"]) >= {"15", "25", "50", "99"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("head/kernel", None, "no head/kernel of shape"),
        ("tail/bias", np.zeros(5), "no tail/bias of shape"),
        ("half/peak", np.float32(0), "peak that is not positive"),
        ("eighth_a_1/kernel", np.full((3, 3, 96, 96), np.nan), "not finite"),
    ],
)
def test_weights_of_another_network(weights, name, value, words):
    changed = {key: array for key, array in weights.items() if key != name}
    if value is not None:
        changed[name] = value
    with pytest.raises(ValueError, match=words):
        Denoiser(changed)
