"""ResNet-50 and its importer against Keras' own, with random weights and batch statistics."""

import json
import os
import shutil
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "jax"

from deepfl.program import main
from mtl.network.imports.keras_files import open_keras_file
from mtl.network.imports.keras_layers import body_weights
from mtl.network.imports.pretrained import ImportConfig, import_keras
from mtl.network.networks import NETWORKS
from mtl.network.resnet import ResNet
from mtl.network.scalings import SCALINGS
from mtl.network.weights import load_model
from mtl.runtime.files import InputError

ROW = NETWORKS["resnet50"]
# The inputs of the five strides are 77, 39, 20, 10 and 5, and 96, 48, 24, 12 and 6.
SIZE = (77, 96)
TOLERANCE = 1e-5  # of the largest value

pytestmark = pytest.mark.filterwarnings(  # Keras' variables do not know an argument of NumPy 2
    "ignore:__array__ implementation:DeprecationWarning"
)


@pytest.fixture(scope="module")
def keras_network():
    import keras

    with pytest.MonkeyPatch.context() as patch:  # all weights are set below
        zeros = lambda self, shape, dtype=None: np.zeros(shape, np.float32)  # noqa: E731
        patch.setattr(keras.initializers.GlorotUniform, "__call__", zeros)
        network = keras.applications.ResNet50(include_top=False, weights=None)
    rng = np.random.default_rng(7)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = layer.kernel.shape
            deviation = np.sqrt(2 / (np.prod(kernel[:2]) * (kernel[2] + kernel[3])))
            values = deviation * rng.standard_normal(kernel, np.float32)
            layer.set_weights([values, rng.normal(0, 0.1, kernel[-1:])])
        elif isinstance(layer, keras.layers.BatchNormalization):
            n = layer.beta.shape
            scale, variance = rng.uniform(0.5, 1.5, n), rng.uniform(0.2, 1.5, n)
            layer.set_weights([scale, rng.normal(0, 0.1, n), rng.normal(0, 0.1, n), variance])
    return network


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resnet")
    yield folder
    shutil.rmtree(folder)  # pytest would keep it for three runs


@pytest.fixture(scope="module")
def model(keras_network, place):
    """The same network through a file of Keras' and the command."""
    keras_network.save_weights(place / "mine.weights.h5")
    out = place / "model"
    arguments = [str(place / "mine.weights.h5"), "--network", "resnet50", "--out", str(out)]
    assert main(["import-keras", *arguments]) == 0
    return load_model(out)


def test_activations_and_features_equal_keras(keras_network, model, sample):
    import keras

    body = model.functional.model(model.weights).body
    assert isinstance(body, ResNet)
    photos = [sample[name][: SIZE[0], : SIZE[1]] for name in ("coffee", "chelsea")]
    x = keras.applications.resnet.preprocess_input(np.stack(photos).astype(np.float32))
    feature, activations = jax.jit(lambda weights, x: model.functional.model(weights).body(x))(
        model.weights, x
    )
    outputs = {name: keras_network.get_layer(name).output for name, _ in ROW.blocks}
    probe = keras.Model(keras_network.input, (keras_network.output, outputs))
    fixed = [[v.value for v in probe.trainable_variables],
             [v.value for v in probe.non_trainable_variables]]  # fmt: skip
    run = jax.jit(lambda some, rest, x: probe.stateless_call(some, rest, x, training=False)[0])
    last, theirs = run(*fixed, x)
    assert list(activations) == [name for name, _ in ROW.blocks]
    pairs = {name: (activations[name], theirs[name]) for name in activations}
    for name, channels in ROW.blocks:
        assert activations[name].shape[-1] == channels
    for name, (ours, expected) in (pairs | {"": (feature, last.mean(axis=(1, 2)))}).items():
        ours, expected = np.asarray(ours), np.asarray(expected)
        assert ours.shape == expected.shape, name
        largest = np.abs(expected).max()
        assert largest > 0 and np.abs(ours - expected).max() <= TOLERANCE * largest, name


def test_the_folder_says_what_it_is(model):
    assert model.config.network == "resnet50" and model.config.scaling == "caffe"
    assert sum(w.size for w in model.weights.values()) == 23_587_712  # Keras' count
    notes = json.loads((model.folder / "model.json").read_text())["notes"]["origin"]
    assert notes["weights"] == "weights of Keras' ResNet-50"
    assert notes["scaling_because"] == "Keras feeds ResNet-50 so" and notes["left_out"] == []


@pytest.mark.parametrize("top", [False, True])
def test_the_layout_of_keras_2_gives_the_same_weights(keras_network, model, place, top):
    import keras
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    network, left_out = keras_network, []
    if top:
        pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(keras_network.output)
        classes = keras.layers.Dense(10, name="predictions")(pooled)
        network, left_out = keras.Model(keras_network.input, classes), ["predictions"]
    path = place / "legacy.h5"
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, network)
    with open_keras_file(path) as file:
        weights, others = body_weights(Path("file"), file, network=ROW)
    assert others == left_out and weights.keys() == model.weights.keys()
    assert all(np.array_equal(weights[name], model.weights[name]) for name in weights)


def test_a_file_is_of_one_network(model, place):
    path = str(place / "mine.weights.h5")
    with pytest.raises(InputError, match=r"53 convolutions and 0 batch .*ResNetV2 244 and"):
        import_keras(ImportConfig(path, place / "other"))
    with pytest.raises(InputError, match="network vgg: is not one of inception_resnet_v2, resnet"):
        import_keras(ImportConfig(path, place / "other", network="vgg"))
    with pytest.raises(InputError, match="--scaling bgr: is not one of minus_one_to_one, zero"):
        import_keras(ImportConfig(path, place / "other", "bgr", "resnet50"))
    assert not (place / "other").exists()


@pytest.mark.parametrize("name", [name for name, row in NETWORKS.items() if row.keras])
def test_pixels_are_scaled_as_keras_scales_them(name, sample):
    import keras

    modules = {"resnet50": keras.applications.resnet}
    module = modules.get(name) or getattr(keras.applications, name)
    photo = sample["coffee"][None, :40, :50]
    expected = np.asarray(module.preprocess_input(photo.astype(np.float32)))
    scaling = SCALINGS[NETWORKS[name].scaling]
    for found in (scaling(photo), scaling(jax.numpy.asarray(photo))):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)
