"""The denoiser in JAX, which workers with a GPU use, is the package's own to the last bit."""

import numpy as np
import pytest

from distortions import distort
from distortions.denoiser import current_denoiser, load_denoiser, use_denoiser
from mtl.kadis.device_denoiser import DeviceDenoiser


@pytest.fixture(scope="module")
def on_device():
    return DeviceDenoiser()


@pytest.mark.parametrize("shape", [(64, 96), (45, 71)])
def test_noise_is_the_same_number_for_number(on_device, sample, shape):
    plane = sample["coffee"][: shape[0], : shape[1], 1] / 255
    noisy = plane + 0.2 * np.random.default_rng(1).standard_normal(shape)
    expected = load_denoiser().noise(noisy)
    assert np.abs(expected).max() > 0.1
    assert np.array_equal(on_device.noise(noisy), expected)


def test_distortion_15_uses_it_only_while_told_to(on_device, sample):
    image = sample["chelsea"][:64, :96]
    expected = distort(image, "denoise", 3, seed=5)
    try:
        use_denoiser(on_device)
        assert current_denoiser() is on_device
        assert np.array_equal(distort(image, "denoise", 3, seed=5), expected)
    finally:
        use_denoiser(None)
    assert current_denoiser() is load_denoiser()
