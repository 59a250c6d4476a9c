"""AlexNet against CaffeNet written out in NumPy, in double precision, place by place."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mlsp.features.extraction import extract
from mtl.network.alexnet import (
    BLOCKS,
    SMALLEST_SIDE,
    AlexNet,
    TwoGroups,
    local_response_norm,
    pool,
)
from mtl.network.maps import Map
from mtl.network.model import Functional, ModelConfig, functional_model
from mtl.network.networks import NETWORKS
from mtl.network.scalings import SCALINGS
from mtl.network.weights import fresh_weights

ROW = NETWORKS["alexnet"]
CONFIG = ModelConfig((), network="alexnet", width=ROW.widths[-1])
# DeepBIQ's crop, whose pools all have odd inputs, and a size whose pools have even ones.
SIZES = ((227, 227), (241, 263))
TOLERANCE = 1e-5  # of the largest value
# What each layer of CaffeNet's deploy.prototxt says: kernel, stride, pad, group.
LAYERS = {
    "conv1": (11, 4, 0, 1),
    "conv2": (5, 1, 2, 2),
    "conv3": (3, 1, 1, 1),
    "conv4": (3, 1, 1, 2),
    "conv5": (3, 1, 1, 2),
    "fc6": (6, 1, 0, 1),
    "fc7": (1, 1, 0, 1),
}


def convolved(x, kernel, bias, stride, pad, groups):
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    side, inputs, outputs = len(kernel), kernel.shape[2], kernel.shape[3] // groups
    rows, columns = ((length - side) // stride + 1 for length in x.shape[:2])
    found = np.zeros((rows, columns, kernel.shape[3]))
    for g in range(groups):
        seen = x[..., g * inputs : (g + 1) * inputs]
        made = slice(g * outputs, (g + 1) * outputs)
        for i in range(side):
            for j in range(side):
                part = seen[i : i + stride * rows : stride, j : j + stride * columns : stride]
                found[..., made] += part[:rows, :columns] @ kernel[i, j, :, made]
    return found + bias


def pooled(x):
    """Caffe's pooling_layer.cpp: sizes are rounded up, windows end with the picture."""
    rows, columns = (int(np.ceil((length - 3) / 2)) + 1 for length in x.shape[:2])
    found = np.empty((rows, columns, x.shape[2]))
    for i in range(rows):
        for j in range(columns):
            found[i, j] = x[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max(axis=(0, 1))
    return found


def normalised(x):
    """Caffe's lrn_layer.cpp, across channels."""
    found = np.empty_like(x)
    channels = x.shape[-1]
    for c in range(channels):
        total = sum(x[..., i] ** 2 for i in range(max(0, c - 2), min(channels, c + 3)))
        found[..., c] = x[..., c] * (1 + 1e-4 / 5 * total) ** -0.75
    return found


def written_out(weights, x):
    """All layers after ReLU; x is one scaled picture."""
    found = {}
    for name, (side, stride, pad, groups) in LAYERS.items():
        kernel, bias = (weights[f"body/{name}/conv/{part}"] for part in ("kernel", "bias"))
        assert len(kernel) == side
        x = found[name] = np.maximum(convolved(x, kernel, bias, stride, pad, groups), 0)
        if name in ("conv1", "conv2", "conv5"):
            x = pooled(x)
        if name in ("conv1", "conv2"):
            x = normalised(x)
    return found


@pytest.fixture(scope="module")
def weights():
    weights = fresh_weights(functional_model(CONFIG), 0)
    rng = np.random.default_rng(1)
    for name, values in weights.items():
        if name.endswith("/bias"):
            weights[name] = rng.normal(0, 2, values.shape).astype(np.float32)
        else:
            weights[name] = values * np.float32(1.5)
    return weights


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(2)
    return [rng.uniform(-120, 150, (*size, 3)).astype(np.float32) for size in SIZES]


@pytest.fixture(scope="module")
def expected(weights, pictures):
    exact = {name: values.astype(np.float64) for name, values in weights.items()}
    return [written_out(exact, picture.astype(np.float64)) for picture in pictures]


@pytest.fixture(scope="module")
def body_maps():
    """The network as a function of weights, images and sizes; compiled once per shape."""
    functional = functional_model(CONFIG)
    return jax.jit(lambda weights, *given: functional.model(weights).body.maps(*given))


def check(found, expected):
    assert found.shape == expected.shape
    largest = np.abs(expected).max()
    assert largest > 0 and np.abs(found - expected).max() <= TOLERANCE * largest


@pytest.mark.parametrize("number", [0, 1], ids=["227x227", "241x263"])
def test_every_layer_equals_caffenet_written_out(body_maps, weights, pictures, expected, number):
    last, blocks = body_maps(weights, pictures[number][None])
    assert blocks.keys() == expected[number].keys()
    for name, theirs in expected[number].items():
        check(np.asarray(blocks[name].values[0]), theirs)
    assert np.array_equal(last.values, blocks["fc7"].values)
    places = ((1, 1), (2, 3))[number]
    assert last.values.shape == (1, *places, ROW.features * CONFIG.width)
    # The features are the average over the places: fc7 itself where there is one.
    check(np.asarray(last.mean()[0]), expected[number]["fc7"].mean(axis=(0, 1)))


def test_the_weights_of_these_tests_put_every_part_to_work(expected):
    for layers, odd in zip(expected, (1, 0), strict=True):
        for name, x in layers.items():
            assert 0.2 < (x > 0).mean() < 0.8, name  # neither all on nor all off
        for name in ("conv1", "conv2"):
            x = pooled(layers[name])
            assert np.abs(normalised(x) - x).max() > 0.1 * x.max()
        assert {layers[name].shape[1] % 2 for name in ("conv1", "conv2", "conv5")} == {odd}


def test_pictures_on_a_canvas_keep_their_numbers(body_maps, weights, pictures, expected):
    canvas = np.full((2, 256, 288, 3), 1000, np.float32)
    for k, picture in enumerate(pictures):
        canvas[k, : len(picture), : picture.shape[1]] = picture
    last, blocks = body_maps(weights, canvas, np.array(SIZES, np.int32))
    for k, layers in enumerate(expected):
        for name, theirs in layers.items():
            h, w = theirs.shape[:2]
            assert blocks[name].sizes[k].tolist() == [h, w]
            check(np.asarray(blocks[name].values[k, :h, :w]), theirs)
        check(np.asarray(last.mean()[k]), layers["fc7"].mean(axis=(0, 1)))


def test_the_features_of_a_crop_are_fc7(weights, pictures, expected):
    """DeepBIQ's 4,096 numbers (here a sixteenth), from pixels."""
    pixels = np.random.default_rng(3).integers(0, 256, (227, 227, 3), np.uint8)
    functional = functional_model(CONFIG)
    model = type("Read", (), {"config": CONFIG, "functional": functional, "weights": weights})
    found = extract(model, pixels[None], "gap")
    exact = {name: values.astype(np.float64) for name, values in weights.items()}
    means = np.array([104.00698793, 116.66876762, 122.67891434])
    scaled = pixels[..., ::-1] - means
    np.testing.assert_allclose(SCALINGS["caffenet"](pixels), scaled, rtol=1e-6, atol=1e-5)
    check(found, written_out(exact, scaled)["fc7"].reshape(1, -1))


def test_each_group_sees_its_half_of_the_channels():
    rng = np.random.default_rng(4)
    kernel = rng.normal(size=(3, 3, 4, 6)).astype(np.float32)
    x = rng.normal(size=(1, 5, 7, 8)).astype(np.float32)
    settings = {"padding": 1, "momentum": 0.9, "dtype": jnp.float32}
    abstract = nnx.eval_shape(lambda: TwoGroups((8, 6), 3, rngs=nnx.Rngs(0), **settings))
    assert abstract.conv.kernel.get_value().shape == kernel.shape
    unit = TwoGroups((8, 6), 3, rngs=nnx.Rngs(0), **settings)
    unit.conv.kernel.set_value(jnp.asarray(kernel))
    whole = np.asarray(unit.linear(x))
    only_first = np.asarray(unit.linear(np.where(np.arange(8) < 4, x, 0)))
    np.testing.assert_array_equal(only_first[..., :3], whole[..., :3])
    assert not only_first[..., 3:].any() and whole[..., 3:].all()
    xla = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=2,
    )
    np.testing.assert_allclose(whole, xla, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", [3, 4, 5, 8, 13])
def test_pools_round_up_as_caffe_does(side):
    x = np.random.default_rng(side).uniform(0, 1, (side, side + 1, 2)).astype(np.float32)
    found = pool(Map(jnp.asarray(x[None]))).values[0]
    np.testing.assert_array_equal(found, pooled(x))
    canvas = np.full((1, 16, 16, 2), 9, np.float32)
    canvas[0, :side, : side + 1] = x
    on = pool(Map(jnp.asarray(canvas), jnp.array([[side, side + 1]])))
    h, w = found.shape[:2]
    assert on.sizes.tolist() == [[h, w]]
    np.testing.assert_array_equal(on.values[0, :h, :w], found)


@pytest.mark.parametrize("channels", [2, 12])
def test_neighbouring_channels_are_divided_by(channels):
    x = np.random.default_rng(0).normal(0, 300, (2, 3, 4, channels))
    with jax.enable_x64(True):
        found = local_response_norm(Map(jnp.asarray(x))).values
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, normalised(x), rtol=1e-13)
    half = local_response_norm(Map(jnp.asarray(x, jnp.bfloat16))).values
    assert half.dtype == jnp.bfloat16


def test_gradients_equal_differences_of_the_network_written_out(weights):
    rng = np.random.default_rng(5)
    side = SMALLEST_SIDE
    picture = rng.uniform(-120, 150, (side, side, 3))
    exact = {name: values.astype(np.float64) for name, values in weights.items()}
    shapes = {name: x.shape for name, x in written_out(exact, picture).items()}
    assert shapes["fc7"][:2] == (1, 1)
    shares = {name: rng.normal(size=shape) / np.prod(shape[:2]) for name, shape in shapes.items()}

    def value(blocks):
        return sum((share * blocks[name]).sum() for name, share in shares.items())

    with jax.enable_x64(True):
        double = partial(ROW.build, dtype=jnp.float64, remat=True)
        functional = Functional(CONFIG, double)

        def ours(weights, picture):
            _, blocks = functional.model(weights).body.maps(picture[None])
            return value({name: x.values[0] for name, x in blocks.items()})

        gradients, of_pixels = jax.jit(jax.grad(ours, argnums=(0, 1)))(
            {name: jnp.asarray(values) for name, values in exact.items()}, jnp.asarray(picture)
        )
    for name, gradient in {**gradients, "": of_pixels}.items():
        # Small enough that no activation changes its sign; a kernel moves them most.
        step = 1e-7 if name.endswith("/kernel") else 1e-6
        way = rng.normal(size=gradient.shape)
        ends = []
        for by in (step, -step):
            moved = {**exact, **({name: exact[name] + by * way} if name else {})}
            ends.append(value(written_out(moved, picture if name else picture + by * way)))
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose((np.asarray(gradient) * way).sum(), slope, rtol=1e-6)


def test_the_row_says_what_the_network_is():
    shapes = functional_model(ModelConfig((), network="alexnet")).shapes
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 56_868_224
    assert ROW.length == 9_568 and ROW.features == 4096 and ROW.shares_canvas
    assert ROW.blocks == BLOCKS and ROW.smallest_side == SMALLEST_SIDE == 199
    assert AlexNet.dropout == 0.5
    for side, places in ((199, 1), (227, 1), (230, 1), (231, 2)):
        x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        functional = functional_model(CONFIG)
        body = lambda weights, x: functional.model(weights).body.maps(x)[0].values  # noqa: B023, E731
        found = jax.eval_shape(body, fresh_weights(functional, 0), x)
        assert found.shape[1:3] == (places, places)
