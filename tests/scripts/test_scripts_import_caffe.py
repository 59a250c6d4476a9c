"""`deepfl import-weights` with a file of Caffe of the size of BVLC's."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from caffe_writer import caffenet, old_layout

from deepfl.program import main
from mlsp.features.extraction import extract
from mtl.network.networks import NETWORKS
from mtl.network.weights import load_model
from mtl.runtime.files import InputError
from mtl.training.starting_weights import starting_folder

ROW = NETWORKS["alexnet"]


@pytest.fixture(scope="module")
def layers():
    """The smaller layers are filled, and what one output of fc6 and one of fc7 see."""
    rng = np.random.default_rng(0)
    layers = caffenet()
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"):
        kernel, bias = layers[name]
        layers[name][1] = rng.normal(0, 0.1, bias.shape).astype(np.float32)
        if name.startswith("conv"):
            values = rng.standard_normal(kernel.shape, np.float32)
            layers[name][0] = values * np.float32(np.sqrt(2 / np.prod(kernel.shape[1:])))
        else:
            layers[name][0] = np.zeros(kernel.shape, np.float32)
            layers[name][0][7] = rng.normal(0, 0.1, kernel.shape[1])
    return layers


@pytest.fixture(scope="module")
def place(layers, tmp_path_factory):
    """A folder with the file, and a user's cache of its own."""
    folder = tmp_path_factory.mktemp("caffe")
    with (folder / "mine.caffemodel").open("wb") as file:
        file.writelines(old_layout(layers))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPFL_CACHE", str(folder / "cache"))
        yield folder
    shutil.rmtree(folder)  # pytest would keep it for three runs


def test_a_file_becomes_deepbiqs_network(place, layers, capsys):
    path, out = str(place / "mine.caffemodel"), str(place / "body")
    assert main(["import-weights", path]) == 2
    assert "is not the published file of AlexNet (CaffeNet); choose an --out" in (
        capsys.readouterr().err
    )
    assert main(["import-weights", path, "--out", out]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "left out: 1 layer that is not of the body (fc8)",
        f"{out}: weights of AlexNet (CaffeNet) in Caffe's layout; pixels as blue, green, red less"
        " 104.00698793, 116.66876762, 122.67891434, since Caffe's examples feed AlexNet (CaffeNet)"
        " so",
        f"next: deepfl extract PICTURES --model {out} --out features",
        f"or:   deepfl train --data KADIS --init {out} --out run",
    ]
    model = load_model(out)
    assert model.config.network == "alexnet" and model.config.scaling == "caffenet"
    picture = np.random.default_rng(1).integers(0, 256, (1, 227, 227, 3), np.uint8)
    found = extract(model, picture)[0]
    assert found.shape == (9568,)
    # fc7's outputs but one see nothing: their biases, after ReLU.
    bias = layers["fc7"][1]
    np.testing.assert_allclose(np.delete(found[-4096:], 7), np.maximum(np.delete(bias, 7), 0))
    # fc6's seventh sees Caffe's order of a map: channel, row, column.
    body = model.functional.model(model.weights).body
    kernel = np.asarray(body.fc6.conv.kernel.get_value())[..., 7]
    np.testing.assert_array_equal(kernel.transpose(2, 0, 1).ravel(), layers["fc6"][0][7])
    kernel = np.asarray(body.conv2.conv.kernel.get_value())
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), layers["conv2"][0])


def test_the_published_file_is_kept_for_all_runs(place, monkeypatch, capsys):
    path = place / "mine.caffemodel"
    digest = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    ((published, what),) = ROW.caffe.digests.items()
    assert published == "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"
    monkeypatch.setitem(ROW.caffe.digests, digest, what)
    remedy = "run `deepfl import-weights bvlc_reference_caffenet.caffemodel`"
    assert main(["extract", "x", "--model", "alexnet-imagenet", "--out", str(place / "x")]) == 2
    assert remedy in capsys.readouterr().err
    with pytest.raises(InputError, match=f"--init imagenet: .* has no weights yet; {remedy} once"):
        starting_folder("imagenet", "alexnet")
    assert main(["import-weights", str(path), "--network", "alexnet"]) == 0
    said = capsys.readouterr().err
    assert "BVLC's CaffeNet, ImageNet weights; pixels" in said
    assert said.endswith("--init alexnet-imagenet --out run\n")
    assert starting_folder("imagenet", "alexnet") == load_model("alexnet-imagenet").folder
    notes = json.loads((load_model("alexnet-imagenet").folder / "model.json").read_text())
    assert notes["notes"]["origin"]["file"] == "mine.caffemodel"


def test_mistakes_are_one_line(place, capsys):
    path = str(place / "mine.caffemodel")
    (place / "short.caffemodel").write_bytes((place / "mine.caffemodel").read_bytes()[:100_000])
    for arguments, problem in (
        ([str(place / "short.caffemodel")], "is damaged or cut short"),
        ([str(place / "gone.caffemodel")], "no such file; give a .caffemodel file"),
        ([path, "--network", "resnet50"], "resnet50: nothing is known of its layers in Caffe"),
        ([path, "--network", "vgg"], "network vgg: is not one of"),
        ([path, "--out", str(place)], "exists; choose another --out"),
        (["alexnet"], "run `deepfl import-weights bvlc_reference_caffenet.caffemodel`"),
    ):
        out = [] if "--out" in arguments else ["--out", str(place / "y")]
        assert main(["import-weights", *arguments, *out]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("deepfl import-weights: ") and problem in line
        assert not (place / "y").exists()
