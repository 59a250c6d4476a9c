"""The network against Keras' own, with random weights and random batch statistics."""

import os

import jax
import numpy as np
import pytest
from skimage import data

os.environ["KERAS_BACKEND"] = "jax"

from mtl.inception_resnet_v2 import InceptionResNetV2
from mtl.model import Functional, ModelConfig
from mtl.weights import fresh_weights


def keras_layer_prefixes(functional: Functional) -> list[str]:
    """Our convolution units in the order in which Keras creates its numbered layers."""
    stages = [
        "stem",
        "mixed_5b/chains",
        *(f"block35/{k}/branches/chains" for k in range(10)),
        "mixed_6a/chains",
        *(f"block17/{k}/branches/chains" for k in range(20)),
        "mixed_7a/chains",
        *(f"block8/{k}/branches/chains" for k in range(10)),
    ]
    prefixes = []
    for stage in stages:
        start = f"body/{stage}/"
        units = {
            tuple(int(part) for part in name[len(start) :].split("/")[:-2])
            for name in functional.shapes
            if name.startswith(start) and name.endswith("conv/kernel")
        }
        prefixes += [start + "/".join(map(str, unit)) for unit in sorted(units)]
    return prefixes


@pytest.fixture(scope="module")
def keras_network():
    keras = pytest.importorskip("keras")
    from keras.src import backend

    assert backend.backend() == "jax"
    return keras.applications.InceptionResNetV2(include_top=False, weights=None)


def test_all_activations_and_the_feature_equal_keras(keras_network):
    import keras

    functional = Functional(ModelConfig(("ssim",)))
    weights = {n: np.asarray(w) for n, w in fresh_weights(functional, 7).items()}
    rng = np.random.default_rng(0)
    for name, values in weights.items():  # statistics and biases that are not 0 and 1
        if name.endswith(("bias", "mean")):
            weights[name] = rng.normal(0, 0.1, values.shape).astype(np.float32)
        elif name.endswith("var"):
            weights[name] = rng.uniform(0.2, 1.5, values.shape).astype(np.float32)

    layers = {layer.name: layer for layer in keras_network.layers}

    def numbered(kind: str) -> list:
        names = [n for n in layers if n == kind or n.removeprefix(f"{kind}_").isdigit()]
        return [layers[n] for n in sorted(names, key=lambda n: int("0" + n[len(kind) + 1 :]))]

    def fill_unit(conv, norm, prefix: str) -> None:
        conv.set_weights([weights[f"{prefix}/conv/kernel"]])
        norm.set_weights([weights[f"{prefix}/norm/{n}"] for n in ("bias", "mean", "var")])

    prefixes = keras_layer_prefixes(functional)
    convolutions, norms = numbered("conv2d"), numbered("batch_normalization")
    assert len(prefixes) == len(convolutions) == len(norms) == 203
    for prefix, conv, norm in zip(prefixes, convolutions, norms, strict=True):
        fill_unit(conv, norm, prefix)
    fill_unit(layers["conv_7b"], layers["conv_7b_bn"], "body/conv_7b")
    for block, repeats in (("block35", 10), ("block17", 20), ("block8", 10)):
        for k in range(repeats):
            up = f"body/{block}/{k}/up"
            layers[f"{block}_{k + 1}_conv"].set_weights(
                [weights[f"{up}/kernel"], weights[f"{up}/bias"]]
            )

    image = data.chelsea()[40:171, 100:255][None]  # odd sizes: 131 × 155
    body = functional.model(weights).body
    assert isinstance(body, InceptionResNetV2)

    @jax.jit
    def ours(x):
        return functional.model(weights).body(x)

    x = image.astype(np.float32) / np.float32(127.5) - 1
    feature, activations = ours(x)
    assert len(activations) == 43
    outputs = [layers[name].output for name in activations]
    probe = keras.Model(keras_network.input, [*outputs, keras_network.output])
    *expected, last = probe.predict(x, verbose=0)
    for name, theirs in zip(activations, expected, strict=True):
        mine = np.asarray(activations[name])
        assert mine.shape == theirs.shape, name
        scale = np.abs(theirs).max()
        assert scale > 1e-3, name
        assert np.abs(mine - theirs).max() <= 1e-5 * scale, name
    pooled = last.mean(axis=(1, 2))
    assert np.abs(np.asarray(feature) - pooled).max() <= 1e-5 * np.abs(pooled).max()
