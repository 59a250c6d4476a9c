"""The network and the importer against Keras' own, with random weights and batch statistics."""

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "jax"

from mtl.network.imports.keras_files import KerasFile, StoredLayer, open_keras_file
from mtl.network.imports.keras_layers import body_weights
from mtl.network.imports.pretrained import ImportConfig, import_keras
from mtl.network.inception_resnet_v2 import BLOCKS, InceptionResNetV2
from mtl.network.weights import load_model

# Where a layer with a stride ends at a picture's edge depends on whether its input is odd or even.
# Each of the five layers has both between these lengths (Keras' own 299 has what 139 has), and
# another size would be another compilation of both networks.
SMALL = (133, 139)
SIZES = ((384, 512), SMALL)
# Gradients of all parameters are compared in the small size, of these and of the pixels in both.
DERIVED = (
    "body/stem/0/conv/kernel",
    "body/mixed_5b/chains/3/0/norm/bias",
    "body/block17/9/up/kernel",
    "body/conv_7b/conv/kernel",
)
TOLERANCE = 1e-5  # of the largest value
QUICK_COMPILATION = {"xla_backend_optimization_level": 0}


@pytest.fixture(scope="module")
def keras_network():
    import keras

    with pytest.MonkeyPatch.context() as patch:  # all weights are set below
        zeros = lambda self, shape, dtype=None: np.zeros(shape, np.float32)  # noqa: E731
        patch.setattr(keras.initializers.GlorotUniform, "__call__", zeros)
        network = keras.applications.InceptionResNetV2(include_top=False, weights=None)
    assert keras.backend.backend() == "jax"
    rng = np.random.default_rng(7)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = layer.kernel.shape
            deviation = np.sqrt(2 / (np.prod(kernel[:2]) * (kernel[2] + kernel[3])))
            values = [deviation * rng.standard_normal(kernel, np.float32)]
            values += [rng.normal(0, 0.1, kernel[-1:])] * layer.use_bias
            layer.set_weights(values)
        elif isinstance(layer, keras.layers.BatchNormalization):
            n = layer.beta.shape
            layer.set_weights(
                [rng.normal(0, 0.1, n), rng.normal(0, 0.1, n), rng.uniform(0.2, 1.5, n)]
            )
    return network


@contextmanager
def numpy_2_unknown() -> Iterator[None]:
    """Keras' variables do not know an argument of NumPy 2, of which a warning tells."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


@pytest.fixture(scope="module")
def model(keras_network, tmp_path_factory):
    """The same network through a file of Keras' and the importer."""
    place = tmp_path_factory.mktemp("imported")
    with numpy_2_unknown():
        keras_network.save_weights(place / "body.weights.h5")
    import_keras(ImportConfig(str(place / "body.weights.h5"), place / "model", "minus_one_to_one"))
    loaded = load_model(place / "model")
    shutil.rmtree(place)  # pytest would keep it for three runs
    return loaded


@pytest.fixture(scope="module")
def direction():
    """What the feature is projected on, so that there is one number to derive."""
    return jnp.asarray(np.random.default_rng(1).standard_normal(1536, np.float32))


@pytest.fixture(scope="module")
def ours(model, direction):
    """Our parameters, and gradients, feature and activations for some of them and pixels."""
    parameters, statistics = model.functional.split(
        {name: jnp.asarray(values) for name, values in model.weights.items()}
    )

    def value(some, x, rest):
        body = model.functional.model(rest | statistics | some).body
        assert isinstance(body, InceptionResNetV2)
        feature, activations = body(x)
        return (feature * direction).sum(), (feature, activations)

    return parameters, derived(value)


@pytest.fixture(scope="module")
def theirs(keras_network, direction):
    """The same of Keras, its parameters by our names; the importer says which is which."""
    import keras

    outputs = {name: keras_network.get_layer(name).output for name, _ in BLOCKS}
    probe = keras.Model(keras_network.input, (keras_network.output, outputs))
    variables = [*probe.trainable_variables, *probe.non_trainable_variables]
    places = {id(variable): float(place) for place, variable in enumerate(variables)}
    layers = [
        StoredLayer(
            layer.name,
            {v.name: np.full(v.shape, places[id(v)], np.float32) for v in layer.weights},
        )
        for layer in keras_network.layers
        if layer.weights
    ]
    found, left_out = body_weights(Path("network"), KerasFile(layers, None))
    assert not left_out
    names = {int(values.flat[0]): name for name, values in found.items()}
    trainable = [names[place] for place in range(len(probe.trainable_variables))]
    fixed = [variable.value for variable in probe.non_trainable_variables]

    def value(some, x, rest):
        weights = [(rest | some)[name] for name in trainable]
        (last, activations), _ = probe.stateless_call(weights, fixed, x, training=False)
        feature = last.mean(axis=(1, 2))
        return (feature * direction).sum(), (feature, activations)

    values = [variable.value for variable in probe.trainable_variables]
    return dict(zip(trainable, values, strict=True)), derived(value)


def derived(value):
    gradient = jax.grad(value, argnums=(0, 1), has_aux=True)
    return jax.jit(gradient, compiler_options=QUICK_COMPILATION)


def assert_equal(ours, theirs, what: str) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    largest = np.abs(theirs).max()
    assert largest > 0, what
    assert np.abs(ours - theirs).max() <= TOLERANCE * largest, what


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_activations_feature_and_gradients_equal_keras(ours, theirs, sample, size):
    photo = sample["coffee"][: size[0], : size[1]]
    assert photo.shape[:2] == size
    x = jnp.asarray(photo[None].astype(np.float32) / np.float32(127.5) - 1)
    results = []
    for parameters, derive in (ours, theirs):
        some = {n: w for n, w in parameters.items() if size == SMALL or n in DERIVED}
        rest = {n: w for n, w in parameters.items() if n not in some}
        results.append(derive(some, x, rest))
    ((gradient, on_pixels), (feature, activations)) = results[0]
    ((their_gradient, their_on_pixels), (their_feature, their_activations)) = results[1]
    assert activations.keys() == {name for name, _ in BLOCKS}
    for name, channels in BLOCKS:
        assert activations[name].shape[-1] == channels
        assert_equal(activations[name], their_activations[name], name)
    assert_equal(feature, their_feature, "feature")
    assert_equal(on_pixels, their_on_pixels, "gradient of the pixels")
    # 244 kernels, the biases of 204 normalisations and of 40 convolutions
    assert len(gradient) == (488 if size == SMALL else len(DERIVED))
    for name, values in gradient.items():
        assert_equal(values, their_gradient[name], f"gradient of {name}")


@contextmanager
def old_file(path, network) -> Iterator[KerasFile]:
    """Open a file of the weights in the layout of Keras 2; it goes when the context ends."""
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    with numpy_2_unknown(), h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, network)
    with open_keras_file(path) as file:
        yield file
    path.unlink()


def assert_same_weights(file: KerasFile, model, left_out: list[str]) -> None:
    weights, others = body_weights(Path("file"), file)
    assert others == left_out
    assert weights.keys() == model.weights.keys()
    assert all(np.array_equal(weights[name], model.weights[name]) for name in weights)


def test_the_layout_of_keras_2_gives_the_same_weights(keras_network, model, tmp_path):
    with old_file(tmp_path / "notop.h5", keras_network) as file:
        assert_same_weights(file, model, [])


def test_the_classification_layer_is_left_out(keras_network, model, tmp_path):
    import keras

    pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(keras_network.output)
    classes = keras.layers.Dense(1000, name="predictions")(pooled)
    with old_file(tmp_path / "top.h5", keras.Model(keras_network.input, classes)) as file:
        assert_same_weights(file, model, ["predictions"])


@pytest.mark.parametrize("name", ["model.h5", "model.weights.h5"])
def test_a_body_inside_another_model_is_found(keras_network, model, tmp_path, name):
    import keras

    images = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras_network(images))
    heads = [keras.layers.Dense(1, name=f"head_{k}")(pooled) for k in range(2)]
    whole = keras.Model(images, heads)
    with numpy_2_unknown():
        if name == "model.h5":
            whole.save(tmp_path / name)
        else:
            whole.save_weights(tmp_path / name)
    with open_keras_file(tmp_path / name) as file:
        assert_same_weights(file, model, ["head_0", "head_1"])
    (tmp_path / name).unlink()
