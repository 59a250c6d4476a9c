"""What every row of the table of networks has to keep, and that a row is enough."""

import json
import re
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from keras_parity import application
from small_network import small_run

from fr_metrics import HistogramEqualization
from mlsp.features.canvases import canvas_for, canvases
from mlsp.features.extraction import extract, extract_to
from mlsp.features.pooling import Kind, feature_shape, pooled
from mlsp.features.sources import open_source
from mtl.network import networks
from mtl.network.imports.pretrained import ImportConfig, import_keras
from mtl.network.keras_weights import KerasLayer, by_distance, kind_of
from mtl.network.layers import ConvolutionalBody, ConvUnit, UnitStyle, check_images
from mtl.network.maps import Map
from mtl.network.model import Functional, ModelConfig, functional_model
from mtl.network.networks import DEFAULT, NETWORKS, Network, find_network
from mtl.network.scalings import SCALINGS
from mtl.network.weights import INCLUDED, fresh_weights, load_model, save_model
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError
from mtl.training.multitask.config import read_config
from mtl.training.opinions.config import FinetuneConfig, differing
from mtl.training.settings import as_json

ROOT = Path(__file__).parents[3]

ROWS = pytest.mark.parametrize("row", NETWORKS.values(), ids=NETWORKS)


def narrowest(row: Network, metrics: tuple[str, ...] = ()):
    """The model of the smallest share of a network's channels, and random weights."""
    config = ModelConfig(metrics, width=row.widths[-1], network=row.name)
    functional = functional_model(config)
    weights = fresh_weights(functional, 0)
    rng = np.random.default_rng(1)
    for name, values in weights.items():  # as after training: no layer leaves its input as it is
        if name.endswith(("/bias", "/mean")):
            weights[name] = rng.normal(0, 0.1, values.shape).astype(np.float32)
        elif name.endswith(("/scale", "/var")):
            weights[name] = rng.uniform(0.5, 1.5, values.shape).astype(np.float32)
    return config, functional, weights


@ROWS
def test_features_and_blocks_have_the_shapes_of_the_row(row):
    _, functional, weights = narrowest(row)
    share, side = row.widths[-1], row.smallest_side

    order = []

    def body(images):
        last, blocks = functional.model(weights).body.maps(images)
        order[:] = blocks  # JAX returns dictionaries sorted
        values = {name: found.values for name, found in blocks.items()}
        return last.mean(), values, {kind: pooled(kind, last, blocks) for kind in get_args(Kind)}

    images = jax.ShapeDtypeStruct((2, side, side + 21, 3), jnp.float32)
    features, blocks, kinds = jax.eval_shape(body, images)
    assert features.shape == (2, row.features * share) and features.dtype == jnp.float32
    assert [(name, blocks[name].shape[-1]) for name in order] == [
        (name, channels * share) for name, channels in row.blocks
    ]
    assert all(min(found.shape[1:3]) >= 1 for found in blocks.values())
    assert feature_shape("mlsp", share, row) == (row.length * share,)
    assert feature_shape("gap", share, row) == features.shape[1:]
    for kind, found in kinds.items():
        assert found.shape == (2, *feature_shape(kind, share, row)), kind
    with pytest.raises(ValueError, match=f"{side}×{side} pixels"):
        jax.eval_shape(body, jax.ShapeDtypeStruct((1, side - 1, side, 3), jnp.float32))


@ROWS
def test_pictures_share_a_canvas_or_are_grouped_by_size(row):
    _, functional, weights = narrowest(row)
    small = row.smallest_side + 3, row.smallest_side + 8
    large = max(96, small[0] + 10), max(90, small[1] + 4)
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 255, (1, *small, 3)).astype(np.float32)

    @jax.jit
    def pooled(images, sizes):
        model = functional.model(weights)
        last, blocks = model.body.maps(model.scaled(images), sizes)
        return [found.mean() for found in (last, *blocks.values())]

    canvas = np.full((2, *large, 3), 200, np.float32)
    canvas[0, : small[0], : small[1]] = picture[0]
    sizes = np.array([small, large], np.int32)
    if not row.shares_canvas:
        with pytest.raises(ValueError, match="no common grid"):
            jax.eval_shape(pooled, canvas, sizes)
        assert canvases({0: small, 1: large, 2: small}, row) == {small: [0, 2], large: [1]}
        return
    for alone, together in zip(pooled(picture, None), pooled(canvas, sizes), strict=True):
        np.testing.assert_allclose(together[0], alone[0], rtol=1e-3, atol=2e-5)


@ROWS
def test_every_parameter_has_a_finite_gradient(row):
    if row.name in (DEFAULT, "nasnet_mobile"):
        pytest.skip("all its gradients are compared with Keras', and compiling them takes long")
    config, functional, weights = narrowest(row, ("ssim",))
    parameters, statistics = functional.split(weights)
    rng = np.random.default_rng(0)
    side = row.smallest_side
    images = rng.uniform(0, 255, (2, side, side, 3)).astype(np.float32)

    def value(parameters):
        model = functional.model(parameters | statistics)
        features, blocks = model.body(model.scaled(images))
        return (features**2).sum() + sum((block**2).mean() for block in blocks.values())

    gradient = jax.jit(jax.grad(value))(parameters)
    body = {name: np.asarray(g) for name, g in gradient.items() if name.startswith("body/")}
    assert all(np.isfinite(values).all() for values in body.values())
    still = [name for name, values in body.items() if not values.any()]
    assert not still, f"{config.network}: nothing depends on {still}"


@ROWS
def test_training_can_halve_the_precision_and_recompute(row):
    if row.name == DEFAULT:
        pytest.skip("test_mtl_training_step has it")
    config, whole, weights = narrowest(row)
    functional = Functional(config, partial(row.build, dtype=jnp.bfloat16, remat=True))
    assert functional.shapes == whole.shapes
    parameters, statistics = functional.split(weights)
    images = jax.ShapeDtypeStruct((2, row.smallest_side, row.smallest_side, 3), jnp.uint8)

    def loss(parameters, images):
        model = functional.model(parameters | statistics, training=True)
        features, blocks = model.body(model.scaled(images))
        return features.sum(), (features, blocks, functional.statistics(model))

    gradient, (features, blocks, after) = jax.eval_shape(
        jax.grad(loss, has_aux=True), parameters, images
    )
    assert features.dtype == jnp.float32 and gradient.keys() == parameters.keys()
    assert {block.dtype for block in blocks.values()} == {jnp.dtype(jnp.bfloat16)}
    assert after.keys() == statistics.keys()


@ROWS
def test_pixels_are_scaled_into_a_range_around_zero(row):
    pixels = np.stack([np.zeros((1, 1, 3)), np.full((1, 1, 3), 255)]).astype(np.uint8)
    black, white = SCALINGS[row.scaling](pixels)[:, 0, 0]
    assert (black <= 0).all() and (white > 0.9).all() and np.isfinite(black).all()
    assert ModelConfig((), network=row.name).scaling == row.scaling


@pytest.mark.parametrize("name", [name for name, row in NETWORKS.items() if row.keras])
def test_pixels_are_scaled_as_keras_scales_them(name, sample):
    row = NETWORKS[name]
    photo = sample["coffee"][None, :40, :50]
    expected = np.asarray(application(row)[1](photo.astype(np.float32)))
    for found in (SCALINGS[row.scaling](photo), SCALINGS[row.scaling](jnp.asarray(photo))):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)


@ROWS
def test_a_folder_gives_back_its_network(row, tmp_path):
    config, _, weights = narrowest(row, ("ssim", "gmsd"))
    scores = {"ssim": np.linspace(0.2, 1, 50), "gmsd": np.linspace(0, 0.3, 50)}
    save_model(tmp_path, config, weights, HistogramEqualization.fit(scores), {})
    stored = json.loads((tmp_path / "model.json").read_text())
    assert stored["config"]["network"] == row.name
    model = load_model(tmp_path)
    assert model.config == config and model.config.row is row
    assert model.weights.keys() == weights.keys()
    assert all(np.array_equal(model.weights[name], weights[name]) for name in weights)


@ROWS
def test_keras_layers_cover_the_body(row):
    if row.keras is None:
        pytest.skip("Keras has no such network")
    found = [ours for layer in row.keras.layers for ours in layer.weights.values()]
    shapes = functional_model(ModelConfig((), network=row.name)).shapes
    assert len(set(found)) == len(found) and set(found) == shapes.keys()
    assert row.keras.file in row.keras.digests and row.keras.address.endswith("/")


def test_what_a_layer_is_its_weights_tell():
    assert kind_of(["kernel", "bias"]) == KerasLayer("x", {"kernel": "k"}).kind == "convolution"
    assert kind_of(["depthwise_kernel", "pointwise_kernel"]) == "separable convolution"
    assert kind_of(["beta", "moving_mean", "moving_variance"]) == "normalisation"
    assert kind_of(["gamma", "beta", "moving_mean", "moving_variance"]) == "scaled normalisation"
    assert kind_of(["embeddings"]) is None


def test_units_of_branches_are_kept_by_their_distance_from_the_output():
    forks = by_distance("b", (1, (1, (1, 1)), (2, (1, 1)), 1), 40)
    assert [place for _, place in forks] == [44, 41, 45, 42, 43, 46, 47, 40, 48]
    assert [path for path, _ in forks[:4]] == [
        "b/chains/2/0",
        "b/chains/1/0",
        "b/chains/2/1",
        "b/chains/1/1/chains/0/0",
    ]


def test_the_included_model_is_older_than_the_table_and_stays_as_it_is():
    folder = Path(networks.__file__).parents[1] / "data" / INCLUDED
    before = {path.name: content_digest(path) for path in folder.iterdir()}
    assert {name: before[name][:16] for name in ("model.json", "weights.npz")} == {
        "model.json": "0f7964aaf969652c",
        "weights.npz": "836faab23920f103",
    }
    assert "network" not in json.loads((folder / "model.json").read_text())["config"]
    model = load_model(INCLUDED)
    assert model.config.network == DEFAULT and model.config.width == 0.25
    assert before == {path.name: content_digest(path) for path in folder.iterdir()}


def test_unknown_networks_are_refused(tmp_path):
    with pytest.raises(InputError, match="network vgg: is not one of inception_resnet_v2, resnet"):
        find_network("vgg")
    row = NETWORKS["resnet50"]
    config, _, weights = narrowest(row)
    save_model(tmp_path, config, weights, None, {})
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace("resnet50", "resnet5000"))
    with pytest.raises(InputError, match="was written by another version"):
        load_model(tmp_path)


class Plain(ConvolutionalBody):
    """Biases and no normalisation; the second layer pads and strides."""

    def __init__(self, *, width=1.0, momentum=0.9, dtype=jnp.float32, remat=False, rngs):
        settings = {"momentum": momentum, "dtype": dtype, "rngs": rngs}
        style = UnitStyle(bias=True, norm=False)
        self.features = round(8 * width)
        self.first = ConvUnit((3, 6), 3, **settings, style=style)
        self.second = ConvUnit((6, self.features), 5, stride=2, **settings, style=style)

    def maps(self, images, sizes=None):
        check_images("Plain", images, PLAIN.smallest_side)
        first = self.first.on(Map(images, sizes))
        last = self.second.on(first)
        return last, {"first": first, "last": last}


PLAIN = Network(
    name="plain",
    title="Plain",
    build=Plain,
    blocks=(("first", 6), ("last", 8)),
    features=8,
    smallest_side=4,
    bytes_per_pixel=100,
    scaling="zero_to_one",
    keras=None,
    reference="none",
    widths=(1.0,),
    shares_canvas=False,
)


def add(row: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a row to the table, in every module that has imported it."""
    table = NETWORKS
    longer = MappingProxyType({**table, row.name: row})
    for module in list(sys.modules.values()):
        if getattr(module, "NETWORKS", None) is table:
            monkeypatch.setattr(module, "NETWORKS", longer)


@pytest.fixture
def third(monkeypatch):
    add(PLAIN, monkeypatch)
    return PLAIN


CONTRACT = (
    test_features_and_blocks_have_the_shapes_of_the_row,
    test_pictures_share_a_canvas_or_are_grouped_by_size,
    test_every_parameter_has_a_finite_gradient,
    test_training_can_halve_the_precision_and_recompute,
    test_pixels_are_scaled_into_a_range_around_zero,
)


def test_one_row_is_enough(third, tmp_path, sample):
    for keeps in CONTRACT:
        keeps(third)
    test_a_folder_gives_back_its_network(third, tmp_path / "contract")
    config, functional, weights = narrowest(third)
    assert not any(name.endswith("/mean") for name in functional.shapes)
    save_model(tmp_path / "model", config, weights, None, {})
    model = load_model(tmp_path / "model")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    parts = {"a.png": (30, 41), "b.png": (33, 40), "c.png": (30, 41)}
    for name, (h, w) in parts.items():
        cv2.imwrite(str(pictures / name), sample["coffee"][:h, 50 : 50 + w, ::-1])
    found = extract_to(model, open_source(pictures), tmp_path / "features")
    assert found.matrix.shape == (3, third.length)
    for row, (h, w) in zip(np.asarray(found.matrix), parts.values(), strict=True):
        (alone,) = extract(model, sample["coffee"][None, :h, 50 : 50 + w])
        np.testing.assert_allclose(row, alone, rtol=2e-3, atol=1e-4)  # float16
    assert canvas_for((33, 40), third) == (33, 40) != canvas_for((33, 40))
    with pytest.raises(InputError, match="plain: Keras has no such network; it has inception"):
        import_keras(ImportConfig("x.h5", tmp_path / "x", network="plain"))


def test_the_page_on_adding_a_network_is_true(monkeypatch, tmp_path):
    page = (ROOT / "docs" / "add_a_network.md").read_text()
    (block,) = re.findall("```python\n(.*?)```", page, re.DOTALL)
    example: dict[str, Any] = {"__name__": "tiny"}
    exec(compile(block, "docs/add_a_network.md", "exec"), example)
    row = example["ROW"]
    add(row, monkeypatch)
    for keeps in CONTRACT:
        keeps(row)
    test_a_folder_gives_back_its_network(row, tmp_path)
    assert f"features have {row.length} numbers" in block and f"--network {row.name}`" in page
    said = re.sub(r"```.*?```", "", page, flags=re.DOTALL) + "`build`"
    named = set(re.findall(r"`(\w+)[=\w]*`", said))
    assert {field.name for field in fields(Network)} <= named, "a field that the page leaves out"
    files = re.findall(r"`((?:mtl|tests|results)/[\w/]+\.\w+)`", page)
    assert files and [file for file in files if not (ROOT / file).exists()] == []


def test_a_title_and_a_reference_stand_in_each_row():
    for name, row in NETWORKS.items():
        assert row.name == name and row.title
        assert "arXiv:" in row.reference or "doi:" in row.reference
        assert row.scaling in SCALINGS and row.widths[0] == 1.0


def test_runs_that_do_not_name_a_network_continue(scored, tmp_path):
    path = small_run(scored, tmp_path / "run", epochs=1).out / "config.json"
    settings = json.loads(path.read_text())
    assert settings.pop("network") == DEFAULT
    path.write_text(json.dumps(settings))
    assert read_config(path.parent).network == DEFAULT
    assert small_run(scored, path.parent).resumed_at == 1
    with pytest.raises(InputError, match="holds a run with another network"):
        small_run(scored, path.parent, network="resnet50")
    tuning = as_json(FinetuneConfig(Path("r.csv"), "random", Path("out")))
    older = {name: value for name, value in tuning.items() if name != "network"}
    assert differing(tuning, older) == []
    assert differing({**tuning, "network": DEFAULT}, older) == []
    assert differing({**tuning, "network": "resnet50"}, older) == ["network"]
