"""A network against Keras' own, with random weights and statistics: a base class of tests.

A network's test names its row, two sizes and Keras' number of parameters:

    class TestVGG16(KerasParity):
        row = NETWORKS["vgg16"]
        sizes = ((77, 91), (86, 96))
        parameters = 14_714_688

Keras' class is the one in `keras.applications` with the row's title.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "jax"

from deepfl.program import main
from mtl.network.imports.keras_files import KerasFile, StoredLayer, open_keras_file
from mtl.network.imports.keras_layers import body_weights
from mtl.network.networks import Network
from mtl.network.weights import TrainedModel, load_model

TOLERANCE = 1e-5  # of the largest value
DEVIATION = 0.1  # of biases and means
LARGEST = 2_000  # of a block's activations: there, the deviation is five times the tolerance
QUICK_COMPILATION = {"xla_backend_optimization_level": 0}
CLASSES = 10  # of the classification layer that the importer has to leave out
Size = tuple[int, int]
Arrays = Mapping[str, jax.Array]


def application(row: Network) -> tuple[Callable[..., Any], Callable[[np.ndarray], Any]]:
    """Return what makes a network in Keras, and what scales its pixels."""
    import keras

    make = getattr(keras.applications, row.title.replace("-", ""))
    return make, sys.modules[make.__module__].preprocess_input


def random_network(row: Network, size: Size | None = None, seed: int = 7):
    """Return Keras' network with random weights and statistics, the same for the same seed.

    Args:
        row: which network.
        size: of the pictures where Keras' layers depend on it; None for any size.
        seed: of the weights.
    """
    import keras

    shape = (None if size is None else (*size, 3),)
    with pytest.MonkeyPatch.context() as patch:  # all weights are set below
        zeros = lambda self, shape, dtype=None: np.zeros(shape, np.float32)  # noqa: E731
        patch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)
        network = application(row)[0](include_top=False, weights=None, input_shape=shape[0])
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        values = [random_values(v.name, v.shape, rng) for v in layer.weights]
        layer.set_weights(values)
    return network


def random_values(role: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return values of one of Keras' variables that leave activations at a sound size."""
    if role in ("kernel", "depthwise_kernel", "pointwise_kernel"):
        inputs = np.prod(shape[:2]) * (1 if role == "depthwise_kernel" else shape[2])
        return np.sqrt(1.5 / inputs) * rng.standard_normal(shape, np.float32)
    ranges = {"gamma": (0.3, 0.9), "moving_variance": (0.5, 1.5)}
    if role in ranges:
        return rng.uniform(*ranges[role], shape)
    assert role in ("bias", "beta", "moving_mean"), role
    return rng.normal(0, DEVIATION, shape)


def imported(network: Any, row: Network, place: Path) -> TrainedModel:
    """Return the model that the command makes of Keras' file of a network."""
    file, out = place / "mine.weights.h5", place / "model"
    network.save_weights(file)
    assert main(["import-keras", str(file), "--network", row.name, "--out", str(out)]) == 0
    return load_model(out)


def compiled(value: Callable[..., Any]) -> Callable[..., Any]:
    """Return what gives the gradients of a function of parameters and pixels, and what it found."""
    gradient = jax.grad(value, argnums=(0, 1), has_aux=True)
    return jax.jit(gradient, compiler_options=QUICK_COMPILATION)


def ours(model: TrainedModel, direction: jax.Array) -> tuple[Arrays, Callable[..., Any]]:
    """Return our parameters, and what gives gradients, feature and activations for pixels."""
    parameters, statistics = model.functional.split(
        {name: jnp.asarray(values) for name, values in model.weights.items()}
    )

    def value(parameters, x):
        feature, activations = model.functional.model(statistics | parameters).body(x)
        return (feature * direction).sum(), (feature, activations)

    return parameters, compiled(value)


def theirs(network: Any, row: Network, direction: jax.Array) -> tuple[Arrays, Callable[..., Any]]:
    """Return the same of Keras, its parameters by our names: the importer says which is which."""
    import keras

    outputs = {name: network.get_layer(name).output for name, _ in row.blocks}
    probe = keras.Model(network.input, (network.output, outputs))
    variables = [*probe.trainable_variables, *probe.non_trainable_variables]
    places = {id(variable): np.float32(place) for place, variable in enumerate(variables)}
    layers = [
        StoredLayer(
            layer.name, {v.name: np.broadcast_to(places[id(v)], v.shape) for v in layer.weights}
        )
        for layer in network.layers
        if layer.weights
    ]
    found, left_out = body_weights(Path("network"), KerasFile(layers, None), network=row)
    assert not left_out, left_out
    names = {int(values.flat[0]): name for name, values in found.items()}
    assert len(names) == len(variables), "Keras has variables that we have no name for"
    trainable = [names[place] for place in range(len(probe.trainable_variables))]
    fixed = [variable.value for variable in probe.non_trainable_variables]

    def value(parameters, x):
        weights = [parameters[name] for name in trainable]
        (last, activations), _ = probe.stateless_call(weights, fixed, x, training=False)
        feature = last.mean(axis=(1, 2))
        return (feature * direction).sum(), (feature, activations)

    values = [variable.value for variable in probe.trainable_variables]
    return dict(zip(trainable, values, strict=True)), compiled(value)


def assert_equal(found: Any, expected: Any, what: str) -> None:
    """Compare to a share of the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: {found.shape}, Keras {expected.shape}"
    largest = np.abs(expected).max()
    assert largest > 0 and np.isfinite(largest), f"{what}: Keras' largest is {largest}"
    furthest = np.abs(found - expected).max() / largest
    assert furthest <= TOLERANCE, f"{what}: {furthest:.1e} of the largest value apart"


class KerasParity:
    """The tests of one network; a subclass named Test... has them."""

    row: Network
    sizes: tuple[Size, Size]
    """(height, width) of two pictures; between them each stride meets odd and even inputs."""
    parameters: int
    """Keras' count, statistics included, without the classification layer."""
    static = False
    """Whether Keras' layers depend on the size, so that each size has a network of its own."""

    pytestmark = pytest.mark.filterwarnings(  # Keras' variables do not know an argument of NumPy 2
        "ignore:__array__ implementation:DeprecationWarning"
    )

    @pytest.fixture(scope="class")
    @classmethod
    def networks(cls) -> Callable[[Size], Any]:
        """Give Keras' network for a size; all have the same weights."""
        made: dict[Size | None, Any] = {}

        def give(size: Size):
            key = size if cls.static else None
            if key not in made:
                made[key] = random_network(cls.row, key)
            return made[key]

        return give

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tmp_path_factory) -> Iterator[Path]:
        """A folder that goes with the tests; pytest would keep it for three runs."""
        folder = tmp_path_factory.mktemp("parity")
        yield folder
        shutil.rmtree(folder)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, networks, place) -> TrainedModel:
        """The same network through a file of Keras' and the command."""
        return imported(networks(cls.sizes[0]), cls.row, place)

    @pytest.mark.parametrize("which", [0, 1])
    def test_activations_feature_and_gradients_equal_keras(self, networks, model, sample, which):
        row, (h, w) = self.row, self.sizes[which]
        photo = sample["coffee"][None, 40 : 40 + h, 100 : 100 + w]
        assert photo.shape[1:3] == (h, w)
        x = application(row)[1](photo.astype(np.float32))
        assert_equal(model.functional.model(model.weights).scaled(photo), x, "pixels")
        direction = np.random.default_rng(1).standard_normal(row.features, np.float32)
        results = []
        for parameters, derive in (
            ours(model, direction),
            theirs(networks((h, w)), row, direction),
        ):
            results.append(derive(parameters, jnp.asarray(x)))
        (gradient, on_pixels), (feature, activations) = results[0]
        (their_gradient, their_on_pixels), (their_feature, their_activations) = results[1]
        assert activations.keys() == {name for name, _ in row.blocks}
        for name, channels in row.blocks:
            assert activations[name].shape[-1] == channels
            assert_equal(activations[name], their_activations[name], name)
            assert np.abs(activations[name]).max() < LARGEST, f"{name}: biases and means are lost"
        assert_equal(feature, their_feature, "feature")
        assert_equal(on_pixels, their_on_pixels, "gradient of the pixels")
        for name in gradient:
            assert_equal(gradient[name], their_gradient[name], f"gradient of {name}")

    def test_the_parameters_are_keras_own(self, networks, model):
        assert model.config.network == self.row.name and model.config.scaling == self.row.scaling
        assert sum(values.size for values in model.weights.values()) == self.parameters
        assert networks(self.sizes[0]).count_params() == self.parameters

    @pytest.mark.parametrize("top", [False, True])
    def test_the_layout_of_keras_2_gives_the_same_weights(self, networks, model, place, top):
        import keras
        from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

        network, left_out = networks(self.sizes[0]), []
        if top:
            pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(network.output)
            classes = keras.layers.Dense(CLASSES, name="predictions")(pooled)
            network, left_out = keras.Model(network.input, classes), ["predictions"]
        path = place / "legacy.h5"
        with h5py.File(path, "w") as file:
            save_weights_to_hdf5_group(file, network)
        with open_keras_file(path) as file:
            weights, others = body_weights(path, file, network=self.row)
        assert others == left_out and weights.keys() == model.weights.keys()
        assert all(np.array_equal(weights[name], model.weights[name]) for name in weights)
