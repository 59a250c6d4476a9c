"""One step: its options against plain arithmetic, precision, and memory for time."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from small_network import SmallBody

from mtl.network.inception_resnet_v2 import InceptionResNetV2
from mtl.network.model import Functional, ModelConfig, mtl_loss
from mtl.network.weights import fresh_weights
from mtl.runtime.files import InputError
from mtl.training.distribution import Placement
from mtl.training.settings import RunSettings
from mtl.training.step import Programs, computing_as, make_optimizer

CONFIG = RunSettings(Path("run"), epochs=10, batch_size=4, learning_rate=1e-3)


@pytest.fixture(scope="module")
def functional():
    return Functional(ModelConfig(("ssim", "gmsd"), momentum=0.5), SmallBody)


@pytest.fixture(scope="module")
def batch(sample):
    images = np.stack([sample["coffee"][k : k + 80, 3 * k : 3 * k + 80] for k in range(4)])
    return images, np.random.default_rng(0).random((4, 2), np.float32)


def take_steps(functional, config, batch, number):
    """The states before and after so many steps with one batch, and the losses."""
    placement = Placement(jax.devices()[:1])
    programs = Programs(config, functional, 10, (80, 80), placement, mtl_loss)
    # A step uses up the state it is given, so it gets another.
    states = [programs.fresh(fresh_weights(functional, 0)) for _ in range(2)]
    step, losses = programs.training().compile(), []
    for _ in range(number):
        arrays = (placement.shared(array) for array in batch)
        state, outcome = step(states.pop(), programs.key(), *arrays, placement.request(7))
        assert int(outcome.request) == 7
        states.append(state)
        losses.append(float(outcome.loss))
    return states[0], states[-1], losses


def gradient_by_hand(functional, parameters, statistics, key, images, targets):
    def loss(parameters):
        model = functional.model(parameters | statistics, training=True)
        value = mtl_loss(model(images, nnx.Rngs(dropout=key).dropout), targets)
        return value, functional.statistics(model)

    (value, statistics), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(parameters)
    return value, statistics, gradient


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_is_adam_on_the_mean_of_the_parts(functional, batch, parts):
    config = replace(CONFIG, accumulate=parts)
    before, after, (loss,) = take_steps(functional, config, batch, 1)
    images, targets = batch
    key = jax.random.fold_in(jax.random.key(config.seed), 0)
    keys = [key] if parts == 1 else jax.random.split(key, parts)
    statistics, losses, gradients = before.statistics, [], []
    for k in range(parts):
        value, statistics, gradient = gradient_by_hand(
            functional, before.parameters, statistics, keys[k], images[k::parts], targets[k::parts]
        )
        losses.append(value)
        gradients.append(gradient)
    gradient = jax.tree.map(lambda *g: sum(g) / parts, *gradients)
    adam = optax.adam(1e-3)
    updates, _ = adam.update(gradient, adam.init(before.parameters))
    expected = optax.apply_updates(before.parameters, updates)
    assert loss == pytest.approx(float(np.mean(losses)), rel=1e-5)
    for name, values in expected.items():
        # Adam's first step is the gradient's sign: where that is next to nothing, so is its sign.
        clear = np.abs(gradient[name]) > 1e-6
        np.testing.assert_allclose(after.parameters[name][clear], values[clear], atol=2e-6)
    for name, values in statistics.items():
        np.testing.assert_allclose(after.statistics[name], values, rtol=1e-5, atol=1e-6)


def test_the_average_follows_the_weights(functional, batch):
    config = replace(CONFIG, ema=0.15)
    before, one, _ = take_steps(functional, config, batch, 1)
    _, two, _ = take_steps(functional, config, batch, 2)
    name = "heads/ssim/fc1/kernel"
    # Decay after t steps: min(0.15, (1 + t) / (10 + t)), so 1/10, then 0.15.
    first = 0.1 * before.parameters[name] + 0.9 * one.parameters[name]
    second = 0.15 * first + 0.85 * two.parameters[name]
    np.testing.assert_allclose(one.weights[name], first, atol=1e-7)
    np.testing.assert_allclose(two.weights[name], second, atol=1e-7)
    assert two.weights.keys() == functional.shapes.keys()
    assert not np.array_equal(two.weights[name], two.parameters[name])


def test_the_cosine_falls_to_nothing_over_the_run():
    optimizer = make_optimizer(replace(CONFIG, schedule="cosine"), 8)
    parameters, gradient = {"kernel": jnp.zeros(1)}, {"kernel": jnp.ones(1)}
    state, rates = optimizer.init(parameters), []
    for _ in range(9):
        updates, state = optimizer.update(gradient, state, parameters)
        rates.append(-float(updates["kernel"][0]))  # Adam's answer to a constant gradient
    expected = 1e-3 * (1 + np.cos(np.pi * np.arange(9) / 8)) / 2
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-9)


def test_decay_draws_kernels_alone_towards_zero():
    optimizer = make_optimizer(replace(CONFIG, weight_decay=0.1), 8)
    parameters = {"a/kernel": jnp.full(2, 3.0), "a/bias": jnp.full(2, 3.0)}
    nothing = jax.tree.map(jnp.zeros_like, parameters)
    updates, _ = optimizer.update(nothing, optimizer.init(parameters), parameters)
    np.testing.assert_allclose(updates["a/kernel"], -1e-3 * 0.1 * 3)
    np.testing.assert_array_equal(updates["a/bias"], 0)


def test_half_precision_is_the_convolutions_alone(functional, batch):
    config = replace(CONFIG, dtype="bfloat16")
    half = Functional(functional.config, computing_as(config, SmallBody))
    _, exact, (loss,) = take_steps(functional, CONFIG, batch, 1)
    _, rounded, (near,) = take_steps(half, config, batch, 1)
    assert near != loss and near == pytest.approx(loss, rel=0.05)
    leaves = jax.tree.leaves((rounded.parameters, rounded.statistics, rounded.optimizer))
    assert {leaf.dtype for leaf in leaves} == {np.dtype("float32"), np.dtype("int32")}
    for name in exact.statistics:
        np.testing.assert_allclose(rounded.statistics[name], exact.statistics[name], atol=0.02)


def test_the_network_has_the_precision_and_the_memory_option():
    body = partial(InceptionResNetV2, dtype=jnp.bfloat16, remat=True)
    functional = Functional(ModelConfig(("ssim",)), body)
    weights = {n: jax.ShapeDtypeStruct(s, jnp.float32) for n, s in functional.shapes.items()}
    images = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.uint8)

    def outputs(weights, images):
        model = functional.model(weights)
        return model.body(model.scaled(images)), model(images)

    (feature, activations), predicted = jax.eval_shape(outputs, weights, images)
    assert {a.dtype for a in activations.values()} == {jnp.dtype(jnp.bfloat16)}
    assert feature.dtype == predicted.dtype == jnp.float32

    def pooled(weights, images):
        model = functional.model(weights, training=True)
        return model.body(model.scaled(images))[0]

    traced = jax.make_jaxpr(pooled)(weights, images)
    names = [equation.primitive.name for equation in traced.jaxpr.eqns]
    assert sum("remat" in name or name == "checkpoint" for name in names) == 43


def test_rows_of_a_batch_are_shared_evenly():
    placement = Placement(jax.devices()[:1])
    assert placement.rows(6) == range(6)
    placement.devices = 4
    assert placement.rows(8) == range(2)
    with pytest.raises(InputError, match=r"--batch-size 6: .* by 4 devices; use 4 or 8"):
        placement.rows(6)
    functional = Functional(ModelConfig(("ssim",)), SmallBody)
    with pytest.raises(InputError, match="a part of 2 images cannot be shared by 4 devices"):
        Programs(replace(CONFIG, accumulate=2), functional, 10, (80, 80), placement, mtl_loss)
