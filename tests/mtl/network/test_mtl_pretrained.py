"""Importing files of Keras: which layer is which, which pixels they expect, and what is refused.

Files Keras itself writes are imported in `test_mtl_keras_equality`. Here they are made by hand, in
its old layout and tiny: a data set of one value takes no room in HDF5.
"""

import hashlib
import inspect
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from keras_parity import application

os.environ["KERAS_BACKEND"] = "jax"

from mtl.network.imports import pretrained
from mtl.network.imports.keras_files import open_keras_file
from mtl.network.imports.keras_layers import body_weights
from mtl.network.imports.pretrained import ImportConfig, import_keras, mean_input
from mtl.network.inception_resnet_v2 import KERAS, keras_convolutions
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import DEFAULT, NETWORKS
from mtl.network.weights import imagenet_folder, load_config, load_model
from mtl.runtime.files import InputError
from mtl.training.starting_weights import starting_folder

AUTHORS_FILE = "quality-mlsp-mtl-mse-loss.hdf5"
KERAS_FILE, STEM = KERAS.file, "body/stem/0"


@pytest.fixture
def on_record(monkeypatch):
    """Change what the table says of the weights of InceptionResNetV2."""

    def change(**fields) -> None:
        row = pretrained.find_network(DEFAULT)
        changed = replace(row, keras=replace(row.keras, **fields))
        monkeypatch.setattr(pretrained, "find_network", lambda name: changed)

    return change


@pytest.fixture(autouse=True)
def nothing_left(tmp_path) -> Iterator[None]:
    """A model folder takes 0.2 GB, and pytest would keep those of three runs."""
    yield
    shutil.rmtree(tmp_path)


class KerasLayers(dict):
    """Layer name → weight → (shape, value); a value is one number, or the whole array."""

    def __init__(self, first: int = 1):
        """InceptionResNetV2 without top, its numbered layers beginning at `first`."""
        self.ours: dict[str, tuple[str, str]] = {}
        shapes = functional_model(ModelConfig(())).shapes

        def name(kind: str, number: int) -> str:
            return f"{kind}_{number}" if number else kind

        def put(layer: str, weights: dict[str, str]) -> None:
            for role, ours in weights.items():
                self.ours[ours] = layer, role
                self.setdefault(layer, {})[role] = (shapes[ours], float(len(self.ours)))

        for path, keras in keras_convolutions():
            numbered = isinstance(keras, int)
            conv = name("conv2d", first + keras) if numbered else keras
            if path.endswith("/up"):
                put(conv, {"kernel": f"{path}/kernel", "bias": f"{path}/bias"})
                continue
            norm = name("batch_normalization", first + keras) if numbered else f"{keras}_bn"
            put(conv, {"kernel": f"{path}/conv/kernel"})
            put(norm, {"beta": f"{path}/norm/bias", "moving_mean": f"{path}/norm/mean",
                       "moving_variance": f"{path}/norm/var"})  # fmt: skip

    def set(self, ours: str, value) -> None:
        layer, role = self.ours[ours]
        self[layer][role] = (self[layer][role][0], value)

    def write(self, path: Path, *, whole_model: bool = False, chunks: int = 1) -> Path:
        """As Keras 2 writes it; `chunks` is how often the list of layers is cut."""
        with h5py.File(path, "w") as file:
            root = file.create_group("model_weights") if whole_model else file
            names = [name.encode() for name in ("input_1", *self, "activation_203")]
            for k, part in enumerate(np.array_split(np.array(names), chunks)):
                root.attrs[f"layer_names{k}" if chunks > 1 else "layer_names"] = part
            root.attrs["backend"] = b"tensorflow"
            file.attrs["keras_version"] = b"2.2.4"
            for name in map(bytes.decode, names):
                group = root.create_group(name)
                weights = self.get(name, {})
                group.attrs["weight_names"] = [f"{name}/{w}:0".encode() for w in weights]
                for role, (shape, value) in weights.items():
                    if np.ndim(value):
                        group.create_dataset(f"{name}/{role}:0", data=value)
                    else:
                        group.create_dataset(f"{name}/{role}:0", shape, np.float32, fillvalue=value)
        return path


def seen(layers: KerasLayers, scaled: list[np.ndarray]) -> None:
    """Give the first layer random kernels, and the statistics of having seen pictures."""
    kernel = np.random.default_rng(3).normal(0, 0.1, (3, 3, 3, 32)).astype(np.float32)
    outputs = [
        jax.lax.conv_general_dilated(
            jnp.asarray(x[None], jnp.float32), kernel, (2, 2), "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ).mean(axis=(0, 1, 2))
        for x in scaled
    ]  # fmt: skip
    layers.set("body/stem/0/conv/kernel", kernel)
    layers.set("body/stem/0/norm/mean", np.mean(outputs, axis=0))


def scaled(sample, scaling: str) -> list[np.ndarray]:
    formula = {"minus_one_to_one": lambda x: x / 127.5 - 1, "zero_to_one": lambda x: x / 255}
    return [formula[scaling](photo.astype(np.float64)) for photo in sample.values()]


@pytest.mark.parametrize(
    ("first", "options"),
    [(0, {}), (1, {"chunks": 3}), (407, {"whole_model": True})],
    ids=["tf.keras", "Keras 2", "whole model"],
)
def test_every_array_lands_in_its_place(tmp_path, first, options):
    layers = KerasLayers(first)
    expected = {ours: layers[layer][role] for ours, (layer, role) in layers.ours.items()}
    layers["dense_1"] = {"kernel": ((1536, 512), 0.0), "bias": ((512,), 0.0)}
    with open_keras_file(layers.write(tmp_path / "weights.h5", **options)) as file:
        weights, left_out = body_weights(tmp_path, file)
        assert file.keras_version == "2.2.4"
    assert left_out == ["dense_1"]
    assert weights.keys() == expected.keys()
    for name, (shape, value) in expected.items():
        assert weights[name].dtype == np.float32 and weights[name].shape == shape
        assert (weights[name] == value).all(), name


@pytest.mark.parametrize("scaling", ["minus_one_to_one", "zero_to_one"])
def test_the_first_layer_tells_the_scaling(tmp_path, sample, scaling):
    layers = KerasLayers()
    pictures = scaled(sample, scaling)
    seen(layers, pictures)
    path = layers.write(tmp_path / "mine.h5")
    weights = {
        n: layers[x][r][1] for n, (x, r) in layers.ours.items() if n.startswith("body/stem/0")
    }
    assert mean_input(weights, STEM) == pytest.approx(
        np.mean([p.mean() for p in pictures]), abs=0.02
    )

    other = {"minus_one_to_one": "zero_to_one", "zero_to_one": "minus_one_to_one"}[scaling]
    with pytest.raises(InputError, match=f"--scaling {other} contradicts the file"):
        import_keras(ImportConfig(str(path), tmp_path / "out", other))
    done = import_keras(ImportConfig(str(path), tmp_path / "out"))
    assert done.scaling == scaling and "trained on inputs of mean" in done.because
    model = load_model(tmp_path / "out")
    assert model.config == ModelConfig((), scaling) and model.equalization is None
    np.testing.assert_array_equal(
        model.weights["body/stem/0/conv/kernel"], weights["body/stem/0/conv/kernel"]
    )
    origin = json.loads((tmp_path / "out" / "model.json").read_text())["notes"]["origin"]
    assert origin["file"] == "mine.h5" and origin["keras_version"] == "2.2.4"
    assert origin["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_statistics_that_are_not_the_layers_own_tell_nothing():
    rng = np.random.default_rng(0)
    weights = {
        "body/stem/0/conv/kernel": rng.normal(0, 0.1, (3, 3, 3, 32)),
        "body/stem/0/norm/mean": rng.normal(0, 0.1, 32),
    }
    assert mean_input(weights, STEM) is None
    weights["body/stem/0/norm/mean"] = np.zeros(32)
    assert mean_input(weights, STEM) is None


def test_what_the_file_does_not_tell_has_to_be_said(tmp_path):
    layers = KerasLayers()
    layers.set("body/stem/0/norm/mean", 0.0)
    path, out = str(layers.write(tmp_path / "mine.h5")), tmp_path / "out"
    with pytest.raises(InputError, match=r"mine\.h5: does not tell.*x/127\.5 - 1.*x/255"):
        import_keras(ImportConfig(path, out))
    assert not out.exists()
    assert import_keras(ImportConfig(path, out, "zero_to_one")).because == "--scaling says so"
    assert load_model(out).config.scaling == "zero_to_one"


def test_the_authors_file_is_known_by_its_name_unless_its_statistics_object(tmp_path, sample):
    layers, out = KerasLayers(), tmp_path / "out"
    layers.set("body/stem/0/norm/mean", 0.0)
    path = layers.write(tmp_path / AUTHORS_FILE)
    with pytest.raises(InputError, match=r"contradicts the file.*x/255: the file has the name"):
        import_keras(ImportConfig(str(path), out, "minus_one_to_one"))
    done = import_keras(ImportConfig(str(path), out))
    assert done.scaling == "zero_to_one" and done.source == "the DeepFL-IQA authors' body"

    seen(layers, scaled(sample, "minus_one_to_one"))
    path = layers.write(tmp_path / AUTHORS_FILE)
    out = tmp_path / "other"
    with pytest.raises(InputError, match=r"not tell clearly.*x/255, since.*x/127\.5 - 1, since"):
        import_keras(ImportConfig(str(path), out))
    assert import_keras(ImportConfig(str(path), out, "zero_to_one")).scaling == "zero_to_one"


def test_pixels_scaled_in_a_third_way_are_refused(tmp_path, sample):
    layers = KerasLayers()
    seen(layers, [photo.astype(np.float64) for photo in sample.values()])
    path = layers.write(tmp_path / "mine.h5")
    with pytest.raises(InputError, match=r"inputs of mean \d\d\d?\.\d\d, which neither"):
        import_keras(ImportConfig(str(path), tmp_path / "out", "zero_to_one"))


def test_keras_own_file_is_known_by_its_digest_under_any_name(tmp_path, on_record):
    layers = KerasLayers()
    layers.set("body/stem/0/norm/mean", 0.0)
    layers = _renamed(layers, "conv2d_17", "Block35_2_Branch_1_Conv2d_0a_1x1")
    path = layers.write(tmp_path / AUTHORS_FILE)
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    on_record(digests={KERAS_FILE: digest})
    with pytest.raises(InputError, match=r"contradicts the file.*the one that Keras publishes"):
        import_keras(ImportConfig(str(path), tmp_path / "out", "zero_to_one"))
    done = import_keras(ImportConfig(str(path), tmp_path / "out"))
    assert (done.scaling, done.source) == ("minus_one_to_one", "Keras' ImageNet weights")


def _renamed(layers: KerasLayers, old: str, new: str) -> KerasLayers:
    items = [(new if name == old else name, weights) for name, weights in layers.items()]
    layers.clear()
    layers.update(items)
    return layers


def _swap(layers: KerasLayers) -> None:
    """Two layers of one shape under each other's names."""
    _renamed(layers, "conv2d_13", "x")
    _renamed(layers, "conv2d_14", "conv2d_13")
    _renamed(layers, "x", "conv2d_14")


def _narrow(layers: KerasLayers) -> None:
    layers.set("body/stem/1/conv/kernel", np.zeros((3, 3, 32, 16), np.float32))


def _inception_v3(layers: KerasLayers) -> None:
    """94 units of the same kind."""
    for name in list(layers):
        kind, _, number = name.rpartition("_")
        if kind not in ("conv2d", "batch_normalization") or int(number) > 94:
            del layers[name]


def _mobilenet(layers: KerasLayers) -> None:
    """Its normalisations have a scale."""
    for weights in layers.values():
        if "beta" in weights:
            weights["gamma"] = weights["beta"]


CHANGES = {
    "renamed": (
        lambda x: _renamed(x, "conv2d_17", "my_conv"),
        "layer my_conv stands where InceptionResNetV2 of Keras has conv2d_NUMBER; it was renamed",
    ),
    "renamed block": (
        lambda x: _renamed(x, "block17_3_conv", "block17_03_conv"),
        "layer block17_03_conv stands where InceptionResNetV2 of Keras has block17_3_conv",
    ),
    "swapped": (_swap, "layers conv2d_14 and conv2d_13 have changed places"),
    "InceptionV3": (
        _inception_v3,
        "holds 94 convolutions and 94 batch normalisations without scale, InceptionResNetV2 244",
    ),
    "scaled norms": (_mobilenet, "holds 244 convolutions and 0 batch normalisations"),
    "narrow": (_narrow, r"conv2d_2 has float32 \(3, 3, 32, 16\) for its kernel, .* needs floats"),
    "no bias": (
        lambda x: x["block8_10_conv"].pop("bias"),
        "block8_10_conv has nothing for its bias",
    ),
    "whole numbers": (
        lambda x: x.set("body/conv_7b/norm/bias", np.zeros(1536, np.int32)),
        r"conv_7b_bn has int32 \(1536,\) for its beta",
    ),
    "NaN": (
        lambda x: x.set("body/conv_7b/norm/mean", np.nan),
        "the moving_mean of conv_7b_bn holds values that no training leaves",
    ),
    "negative variance": (
        lambda x: x.set("body/block8/9/branches/chains/0/0/norm/var", -1.0),
        r"the moving_variance of batch_normalization_\d+ holds values that no training leaves",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_file_of_another_network_is_refused(tmp_path, case):
    change, problem = CHANGES[case]
    layers = KerasLayers()
    change(layers)
    path = layers.write(tmp_path / "mine.h5")
    with pytest.raises(InputError, match=rf"mine\.h5: .*{problem}") as caught:
        import_keras(ImportConfig(str(path), tmp_path / "out", "zero_to_one"))
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def _cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])


def _edit(path: Path, change) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def _lose_layer(file: h5py.File) -> None:
    del file["conv2d_5"]


def _lose_list(file: h5py.File) -> None:
    del file.attrs["layer_names"]


def _lose_weight(file: h5py.File) -> None:
    del file["conv2d_5/conv2d_5/kernel:0"]


def _group_for_values(file: h5py.File) -> None:
    del file["conv2d_5/conv2d_5/kernel:0"]
    file.create_group("conv2d_5/conv2d_5/kernel:0")


def _number_for_list(file: h5py.File) -> None:
    file.attrs["layer_names"] = 5


def _values_for_layers(file: h5py.File) -> None:
    del file.attrs["layer_names"]
    file["layers/conv2d/vars"] = np.zeros(3)


def _names_for_numbers(file: h5py.File) -> None:
    del file.attrs["layer_names"]
    file["layers/conv2d/vars/kernel"] = np.zeros(3)


def _theano(file: h5py.File) -> None:
    file.attrs["backend"] = b"theano"


DAMAGES = {
    "cut": (_cut, "is damaged or cut short"),
    "text": (lambda path: path.write_text("PK no weights"), "is not an HDF5 file"),
    "empty": (lambda path: path.write_bytes(b""), "is not an HDF5 file"),
    "signature": (lambda path: path.write_bytes(path.read_bytes()[:8]), "is damaged or cut short"),
    "missing": (Path.unlink, "no such file"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
    "lost layer": (lambda path: _edit(path, _lose_layer), "lists conv2d_5 but does not hold it"),
    "lost weight": (lambda path: _edit(path, _lose_weight), "lists conv2d_5/kernel:0 but does not"),
    "lost list": (lambda path: _edit(path, _lose_list), "holds no layers of a Keras model"),
    **{
        change.__name__: (partial(_edit, change=change), "is not as Keras lays files out")
        for change in (_group_for_values, _number_for_list, _values_for_layers, _names_for_numbers)
    },
    "Theano": (lambda path: _edit(path, _theano), "was written with Theano"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_file_is_named(tmp_path, case):
    damage, problem = DAMAGES[case]
    path = KerasLayers().write(tmp_path / "mine.h5")
    damage(path)
    with pytest.raises(InputError, match=rf"mine\.h5: {problem}") as caught:
        import_keras(ImportConfig(str(path), tmp_path / "out", "zero_to_one"))
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_not_written_to(tmp_path):
    layers, out = KerasLayers(), tmp_path / "out"
    path = str(layers.write(tmp_path / "mine.h5"))
    with pytest.raises(InputError, match=r"mine\.h5: exists; choose another --out"):
        import_keras(ImportConfig(path, tmp_path / "mine.h5", "zero_to_one"))
    out.mkdir()
    (out / "weights.npz").write_bytes(b"left by an interrupted import")
    import_keras(ImportConfig(path, out, "zero_to_one"))
    assert load_model(out).config.scaling == "zero_to_one"
    with pytest.raises(InputError, match="out: exists; choose another --out"):
        import_keras(ImportConfig(path, out, "zero_to_one"))


@pytest.fixture
def server(tmp_path, monkeypatch, on_record):
    """A folder in the place of Keras' server, and an empty cache of Keras."""
    import keras

    served = tmp_path / "server"
    served.mkdir()
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path / "cache"))
    on_record(address=f"{served.as_uri()}/")
    return served


def test_keras_fetches_and_checks_its_own_weights(server, on_record, tmp_path, capfd):
    layers = KerasLayers()
    layers.set("body/stem/0/norm/mean", 0.0)
    path, out = layers.write(server / KERAS_FILE), tmp_path / "out"
    with pytest.raises(InputError, match=r"weights cannot be fetched .*hash does not match"):
        import_keras(ImportConfig("imagenet", out))
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    on_record(digests={KERAS_FILE: digest})
    done = import_keras(ImportConfig("imagenet", out))
    assert (done.scaling, done.source) == ("minus_one_to_one", "Keras' ImageNet weights")
    notes = json.loads((out / "model.json").read_text())["notes"]
    assert notes["origin"]["file"] == KERAS_FILE and "keras" in notes["versions"]
    path.unlink()  # the cache serves without a network
    import_keras(ImportConfig("imagenet", tmp_path / "again"))


def test_without_a_network_the_remedy_is_said(server, tmp_path, capfd):
    for weights, out, ending in (
        ("imagenet", tmp_path / "my out", f" --out '{tmp_path / 'my out'}'"),
        ("Inception-ResNet-V2", None, ""),
    ):
        with pytest.raises(InputError, match="ImageNet weights cannot be fetched") as caught:
            import_keras(ImportConfig(weights, out))
        told = str(caught.value)
        assert f"fetch {server.as_uri()}/{KERAS_FILE} where there is" in told and "\n" not in told
        assert told.endswith(f": deepfl import-keras {KERAS_FILE} --network {DEFAULT}{ending}")


def test_the_command_that_is_told_without_a_network_works(tmp_path, monkeypatch, on_record):
    """The file of another place, under its name: no --out, and `--init imagenet` finds it."""
    layers = KerasLayers()
    layers.set("body/stem/0/norm/mean", 0.0)
    path = layers.write(tmp_path / KERAS_FILE)
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    on_record(digests={KERAS_FILE: digest})
    monkeypatch.setenv("DEEPFL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    done = import_keras(ImportConfig(KERAS_FILE, network=DEFAULT))
    assert done.out == imagenet_folder() == starting_folder("imagenet")
    assert load_config(done.out) == ModelConfig((), "minus_one_to_one")


def test_a_name_is_the_network_and_a_path_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet50").write_bytes(b"a file of the same name")
    fetched = []

    def fetch(network, out):
        fetched.append(network.name)
        raise InputError("nothing is fetched here")

    monkeypatch.setattr(pretrained, "_download", fetch)
    named = (("resnet50", None), ("ResNet50", "resnet50"), ("inception-resnet-v2", None))
    for weights, network in (*named, ("imagenet", "resnet50"), ("imagenet", None)):
        with pytest.raises(InputError, match="nothing is fetched here"):
            import_keras(ImportConfig(weights, tmp_path / "out", network=network))
    assert fetched == ["resnet50", "resnet50", DEFAULT, "resnet50", DEFAULT]
    for weights, network, problem in (
        ("./resnet50", "resnet50", "^resnet50: is not an HDF5 file"),
        ("vgg61", None, "^vgg61: is neither a file nor a network .* inception_resnet_v2, resnet50"),
        ("vgg61.h5", None, r"^vgg61\.h5: no such file"),
        ("x.h5", "inception-v3", r"^x\.h5: no such file"),
        ("efficientnet-lite0", None, "Keras has no .*; run `deepfl import-weights efficientnet-l"),
        ("cnniqa", None, "^cnniqa: Keras has no such .*; nobody publishes ImageNet weights of CN"),
        ("resnet50", DEFAULT, f"^resnet50: is a network, and --network {DEFAULT} another; leave"),
        ("imagenet", "resnet-51", "^network resnet_51: is not one of"),
    ):
        with pytest.raises(InputError, match=problem) as caught:
            import_keras(ImportConfig(weights, tmp_path / "out", network=network))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("network", [name for name, row in NETWORKS.items() if row.keras])
def test_address_and_digests_are_those_of_keras(network):
    keras = NETWORKS[network].keras
    module = inspect.getmodule(application(NETWORKS[network])[0])
    source = "".join(part.strip('" ') for part in inspect.getsource(module).split("\n"))
    assert keras.address in source
    assert len(keras.digests) == 2 and all(d in source for d in keras.digests.values())
    assert keras.file in source.replace("{weights_name}", network)


@pytest.mark.parametrize(("package", "weights"), [("h5py", "mine.h5"), ("keras", "imagenet")])
def test_a_missing_package_is_named_with_its_remedy(tmp_path, monkeypatch, package, weights):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"is missing: pip install 'deepfl-iqa\[import\]'"):
        import_keras(ImportConfig(weights, tmp_path / "out"))
