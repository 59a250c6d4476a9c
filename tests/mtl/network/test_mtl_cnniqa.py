"""CNNIQA against the paper's formulas in double precision, patch by patch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl.network.cnniqa import BLOCKS, CNNIQA, DROPOUT, normalised
from mtl.network.model import Functional, ModelConfig, Opinion, dropout_keys, functional_model
from mtl.network.networks import NETWORKS
from mtl.network.weights import fresh_weights

ROW = NETWORKS["cnniqa"]
LINEAR = ModelConfig((), network="cnniqa", opinion=Opinion(1, 0, 1, None, "r.csv", hidden=False))


def reference_normalised(picture):
    """Equations (1) to (3): a window of 7×7, cut off where the picture ends, and C = 1."""
    gray = picture.astype(np.float64) @ [0.299, 0.587, 0.114]
    h, w = gray.shape
    out = np.empty_like(gray)
    for i in range(h):
        for j in range(w):
            near = gray[max(i - 3, 0) : i + 4, max(j - 3, 0) : j + 4]
            out[i, j] = (gray[i, j] - near.mean()) / (near.std() + 1)
    return out


def reference_patches(picture, weights):
    """What each layer gives for each patch of 32×32, row by row."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    kernel = w["body/conv/kernel"][:, :, 0]
    normal = reference_normalised(picture)
    found = {name: [] for name, _ in BLOCKS}
    for top in range(0, picture.shape[0] // 32 * 32, 32):
        for left in range(0, picture.shape[1] // 32 * 32, 32):
            patch = normal[top : top + 32, left : left + 32]
            windows = np.lib.stride_tricks.sliding_window_view(patch, (7, 7))
            y = np.einsum("ijkl,klc->ijc", windows, kernel) + w["body/conv/bias"]
            x = np.concatenate([y.max(axis=(0, 1)), y.min(axis=(0, 1))])
            found["pool"].append(x)
            for layer in ("fc1", "fc2"):
                x = np.maximum(x @ w[f"body/{layer}/kernel"] + w[f"body/{layer}/bias"], 0)
                found[layer].append(x)
    return {name: np.array(rows) for name, rows in found.items()}


@pytest.fixture(scope="module")
def functional():
    return functional_model(LINEAR)


@pytest.fixture(scope="module")
def weights(functional):
    """Random, and biases that are not zero."""
    rng = np.random.default_rng(1)
    return {
        name: values if name.endswith("kernel") else rng.normal(0, 0.3, values.shape)
        for name, values in fresh_weights(functional, 0).items()
    }


@pytest.fixture(scope="module")
def picture(sample):
    """Three by four patches, and what remains, of a photograph with fine and with flat parts."""
    return sample["chelsea"][100:211, 60:205]


def test_every_layer_and_the_score_are_the_papers(functional, weights, picture):
    model = functional.model(weights)
    features, blocks = model.body(model.scaled(jnp.asarray(picture[None])))
    expected = reference_patches(picture, weights)
    assert len(expected["fc2"]) == 12
    for name, channels in BLOCKS:
        found = np.asarray(blocks[name][0])
        assert found.shape == (3, 4, channels)
        np.testing.assert_allclose(found.reshape(12, -1), expected[name], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(features[0], expected["fc2"].mean(axis=0), rtol=2e-5, atol=2e-5)

    # The regression is linear: its value for the average is the average of the patches' scores.
    kernel, bias = (
        weights[f"opinion/out/{part}"].astype(np.float64) for part in ("kernel", "bias")
    )
    scores = (expected["fc2"] @ kernel + bias)[:, 0]
    assert scores.std() > 0.01
    assert float(model(jnp.asarray(picture[None]))[0, 0]) == pytest.approx(scores.mean(), abs=2e-5)


def test_the_parameters_are_the_papers():
    shapes = functional_model(ModelConfig((), network="cnniqa")).shapes
    assert shapes == {
        "body/conv/kernel": (7, 7, 1, 50),
        "body/conv/bias": (50,),
        "body/fc1/kernel": (100, 800),
        "body/fc1/bias": (800,),
        "body/fc2/kernel": (800, 800),
        "body/fc2/bias": (800,),
    }
    assert ROW.length == 1_700 and ROW.features == 800 and ROW.smallest_side == 32


def test_normalisation_keeps_small_deviations_of_bright_pixels():
    """In float32 the mean of squares less the square of the mean would be wrong by hundredths."""
    rng = np.random.default_rng(0)
    picture = np.full((40, 45, 3), 251, np.uint8)
    picture[20:] -= rng.integers(0, 2, (20, 45, 3)).astype(np.uint8)
    gray = jnp.asarray(picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))
    found = np.asarray(jax.jit(normalised)(gray[None]))[0]
    np.testing.assert_allclose(found, reference_normalised(picture), atol=1e-4)
    assert np.abs(found[:16]).max() < 1e-4 < np.abs(found[24:]).max()


def test_normalisation_ends_with_the_picture_whatever_lies_beside_it(picture):
    gray = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    h, w = gray.shape
    canvas = np.full((2, h + 9, w + 20), 255, np.float32)
    canvas[0, :h, :w] = gray
    sizes = jnp.array([[h, w], canvas.shape[1:]])
    together = np.asarray(jax.jit(normalised)(jnp.asarray(canvas), sizes))
    alone = np.asarray(jax.jit(normalised)(jnp.asarray(gray[None])))[0]
    np.testing.assert_allclose(together[0, :h, :w], alone, rtol=1e-5, atol=1e-5)
    assert np.isfinite(together).all()


def test_half_of_the_last_layer_is_dropped_in_training(functional, weights, picture):
    assert DROPOUT == 0.5 == functional.model(weights).body.dropout
    patch = jnp.asarray(picture[None, :32, :32])
    quiet = float(functional.model(weights)(patch)[0, 0])
    model = functional.model(weights, training=True)
    keys = jax.random.split(jax.random.key(0), 400)
    outputs = np.asarray(jax.vmap(lambda key: model(patch, dropout_keys(key))[0, 0])(keys))
    # Each feature is zero or doubled: the same mean, and the deviation of so many coins.
    features, _ = model.body(model.scaled(patch))
    terms = np.asarray(features[0]) * weights["opinion/out/kernel"][:, 0]
    deviation = np.sqrt(np.square(terms).sum())
    assert outputs.std() == pytest.approx(deviation, rel=0.15)
    assert abs(outputs.mean() - quiet) < 4 * deviation / np.sqrt(len(outputs))


def test_computing_a_second_time_changes_no_gradient(functional, weights, picture):
    again = Functional(LINEAR, lambda **settings: CNNIQA(**{**settings, "remat": True}))
    images = jnp.asarray(picture[None])

    def gradient(functional):
        return jax.grad(lambda w: functional.model(w)(images).sum())(
            {name: jnp.asarray(values, jnp.float32) for name, values in weights.items()}
        )

    ours, theirs = gradient(functional), gradient(again)
    for name, values in ours.items():
        assert np.any(values)
        np.testing.assert_allclose(values, theirs[name], rtol=1e-5, atol=1e-6)
