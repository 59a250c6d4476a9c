"""The model's parts, its loss, and its folder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_network import SmallBody

from fr_metrics import HistogramEqualization
from mtl.evaluation.correlation import plcc, srocc
from mtl.network.layers import BATCH_NORM_EPSILON, BatchNorm
from mtl.network.model import Functional, ModelConfig, dropout_keys, mtl_loss
from mtl.network.networks import NETWORKS
from mtl.network.scalings import SCALINGS
from mtl.network.weights import fresh_weights, load_model, save_model
from mtl.runtime.files import InputError


@pytest.fixture(scope="module")
def functional():
    return Functional(ModelConfig(("ssim", "gmsd")))


@pytest.fixture(scope="module")
def weights(functional):
    return fresh_weights(functional, 0)


@pytest.fixture(scope="module")
def saved(functional, weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    scores = {"ssim": np.linspace(0.2, 1, 50), "gmsd": np.linspace(0, 0.3, 50)}
    save_model(folder, functional.config, weights, HistogramEqualization.fit(scores), {"epoch": 3})
    return folder


@pytest.mark.parametrize("scale", [False, True])
def test_batch_normalisation_equals_flax(sample, scale):
    x = jnp.asarray(sample["chelsea"][:32, :40][None] / 255.0, jnp.float32)
    ours = BatchNorm(3, 0.9, scale=scale)
    theirs = nnx.BatchNorm(
        3, use_scale=scale, epsilon=BATCH_NORM_EPSILON, momentum=0.9, rngs=nnx.Rngs(0)
    )
    for module in (ours, theirs):
        module.bias.set_value(jnp.array([0.1, -0.2, 0.3]))
        if scale:
            module.scale.set_value(jnp.array([0.5, 1.5, -2.0]))
    np.testing.assert_allclose(ours(x), theirs(x), atol=2e-6)
    np.testing.assert_allclose(ours.mean.get_value(), theirs.mean.get_value(), atol=1e-7)
    np.testing.assert_allclose(ours.var.get_value(), theirs.var.get_value(), atol=1e-7)
    ours.use_running_average = theirs.use_running_average = True
    np.testing.assert_allclose(ours(x), theirs(x), atol=2e-6)


def test_the_heads_are_the_papers(functional):
    shapes = functional.shapes
    for metric in ("ssim", "gmsd"):
        assert shapes[f"heads/{metric}/fc1/kernel"] == (1536, 512)
        assert shapes[f"heads/{metric}/fc2/kernel"] == (512, 256)
        assert shapes[f"heads/{metric}/out/kernel"] == (256, 1)
    body = sum(int(np.prod(shape)) for name, shape in shapes.items() if name.startswith("body/"))
    assert body == 54_336_736  # Keras' count for InceptionResNetV2 without top
    trainable = {n for n in functional.parameter_names if n.startswith("body/")}
    assert sum(int(np.prod(shapes[n])) for n in trainable) == 54_276_192


def test_initial_weights_have_the_stated_spread(functional, weights):
    again = fresh_weights(functional, 0)
    other = fresh_weights(functional, 1)
    name = "heads/ssim/fc1/kernel"
    assert np.array_equal(weights[name], again[name])
    assert not np.array_equal(weights[name], other[name])
    assert weights[name].std() == pytest.approx(np.sqrt(2 / 1536), rel=0.01)  # He normal
    conv = weights["body/block17/3/up/kernel"]  # Glorot uniform, 384 → 1088
    assert np.abs(conv).max() == pytest.approx(np.sqrt(6 / (384 + 1088)), rel=0.01)
    assert conv.std() == pytest.approx(np.sqrt(2 / (384 + 1088)), rel=0.01)


def test_the_loss_is_the_mean_of_the_tasks_mean_squared_errors():
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(2, 7, 3)).astype(np.float32)
    expected = np.mean([np.mean((p[:, k] - t[:, k]) ** 2) for k in range(3)])
    assert float(mtl_loss(jnp.asarray(p), jnp.asarray(t))) == pytest.approx(float(expected))
    with pytest.raises(ValueError, match=r"\(7, 3\).*\(7,\)"):
        mtl_loss(jnp.asarray(p), jnp.asarray(t[:, 0]))


def test_pixels_are_scaled_as_the_weights_expect(weights):
    pixels = np.array([0, 127.5, 255], np.float32).reshape(1, 1, 1, 3)
    for scaling, expected in (("minus_one_to_one", [-1, 0, 1]), ("zero_to_one", [0, 0.5, 1])):
        functional = Functional(ModelConfig(("ssim", "gmsd"), scaling))
        model = functional.model(weights)
        assert np.allclose(np.ravel(model.scaled(jnp.asarray(pixels))), expected)
    # The authors' own body takes zero_to_one; every other scaling is of a network's row.
    assert {row.scaling for row in NETWORKS.values()} == set(SCALINGS) - {"zero_to_one"}


def test_small_images_are_refused(functional, weights):
    with pytest.raises(ValueError, match="75×75"):
        functional.model(weights)(jnp.zeros((1, 74, 200, 3)))


def test_dropout_needs_a_key_and_only_in_training(functional, weights, sample):
    model = functional.model(weights, training=True)
    features = jnp.asarray(np.random.default_rng(0).normal(size=(4, 1536)), jnp.float32)
    head = model.heads["ssim"]
    a, b = (head(features, dropout_keys(jax.random.key(k))) for k in (0, 1))
    assert not np.allclose(a, b)
    same = head(features, nnx.Rngs(dropout=jax.random.key(1)).dropout)
    assert np.array_equal(same, b)
    quiet = functional.model(weights).heads["ssim"]
    assert np.array_equal(quiet(features), quiet(features))


class Dropping(SmallBody):
    """Drops a quarter of its features."""

    dropout = 0.25


def test_a_body_says_what_training_drops_before_any_head(sample):
    config = ModelConfig(("ssim", "gmsd"))
    plain, dropping = (Functional(config, body) for body in (SmallBody, Dropping))
    assert plain.shapes == dropping.shapes
    weights = fresh_weights(plain, 0)
    images = jnp.asarray(np.stack([sample["coffee"][:40, 50 * k : 50 * k + 48] for k in range(6)]))
    key = jax.random.key(3)

    # The body's share is drawn first, and the heads go on with the keys that follow.
    keys = dropout_keys(key)
    model = dropping.model(weights, training=True)
    features, _ = model.body(model.scaled(images))
    kept = jax.random.bernoulli(keys(), 1 - Dropping.dropout, features.shape)
    assert 0 < kept.sum() < kept.size and np.any(np.asarray(features)[~np.asarray(kept)])
    expected = model.heads_of(jnp.where(kept, features / (1 - Dropping.dropout), 0), keys)
    found = dropping.model(weights, training=True)(images, dropout_keys(key))
    np.testing.assert_allclose(found, expected, rtol=1e-6)

    # Without such a share all keys are the heads', as they were.
    model = plain.model(weights, training=True)
    features, _ = model.body(model.scaled(images))
    keys = dropout_keys(key)
    expected = jnp.stack([model.heads[m](features, keys) for m in config.metrics], axis=1)
    found = plain.model(weights, training=True)(images, dropout_keys(key))
    assert np.array_equal(found, expected)

    # In inference nothing is dropped.
    assert np.array_equal(dropping.model(weights)(images), plain.model(weights)(images))


def test_a_model_folder_gives_back_what_was_saved(saved, functional, weights):
    model = load_model(saved)
    assert model.config == functional.config
    assert model.weights.keys() == weights.keys()
    assert all(np.array_equal(model.weights[name], weights[name]) for name in weights)
    assert model.equalization is not None
    scores = {"ssim": np.array([0.5]), "gmsd": np.array([0.1])}
    back = model.equalization.inverse(model.equalization.transform(scores))
    assert back["ssim"][0] == pytest.approx(0.5, abs=1e-6)


def test_what_is_no_model_folder_is_said(tmp_path, saved):
    with pytest.raises(InputError, match="no such folder"):
        load_model(tmp_path / "gone")
    with pytest.raises(InputError, match=r"not a model folder \(model.json is missing\)"):
        load_model(tmp_path)
    for name, damage, problem in (
        ("model.json", b"{", "model.json: is damaged"),
        ("model.json", b'{"format": 99, "equalized": false, "config": {"metrics": ["ssim"], '
         b'"scaling": "minus_one_to_one", "momentum": 0.9}}', "another version"),
        ("weights.npz", b"PK", "weights.npz: is missing or damaged"),
        ("equalization.json", b"[]", "equalization.json: is missing or damaged"),
    ):  # fmt: skip
        folder = tmp_path / problem[:8]
        folder.mkdir()
        for file in saved.iterdir():
            (folder / file.name).symlink_to(file)
        (folder / name).unlink()
        (folder / name).write_bytes(damage)
        with pytest.raises(InputError, match=problem):
            load_model(folder)


def test_weights_of_another_network_are_refused(tmp_path, saved):
    for file in ("model.json", "equalization.json"):
        (tmp_path / file).symlink_to(saved / file)
    np.savez(tmp_path / "weights.npz", kernel=np.zeros(3))
    with pytest.raises(InputError, match="weights of another network"):
        load_model(tmp_path)


def test_correlations_are_scipys():
    import scipy.stats

    rng = np.random.default_rng(0)
    a = rng.integers(0, 6, 40).astype(float)  # with ties
    b = a + rng.normal(size=40)
    assert srocc(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert plcc(a, b) == pytest.approx(scipy.stats.pearsonr(a, b).statistic)
    assert np.isnan(srocc(np.ones(4), np.arange(4.0)))
    with pytest.raises(ValueError, match="shape"):
        plcc(a, b[:5])
