"""`deepfl import-keras`, and what the other commands do with a body that has no heads."""

import shutil

import cv2
import h5py
import jax
import numpy as np
import pytest

from deepfl.program import main
from mlsp.features.store import load_features
from mtl.network.inception_resnet_v2 import BLOCKS, keras_convolutions
from mtl.network.model import ModelConfig, functional_model
from mtl.network.weights import fresh_weights, load_model


@pytest.fixture(scope="module")
def weights():
    return fresh_weights(functional_model(ModelConfig(())), 5)


@pytest.fixture(scope="module")
def authors_file(weights, tmp_path_factory):
    """The authors' file: their name, the layout of Keras 2, and a head."""
    path = tmp_path_factory.mktemp("keras") / "quality-mlsp-mtl-mse-loss.hdf5"
    layers: dict[str, dict[str, np.ndarray]] = {}
    for ours, keras in keras_convolutions():
        conv, norm = (
            (f"conv2d_{keras + 1}", f"batch_normalization_{keras + 1}")
            if isinstance(keras, int)
            else (keras, f"{keras}_bn")
        )
        if ours.endswith("/up"):
            layers[conv] = {role: weights[f"{ours}/{role}"] for role in ("kernel", "bias")}
            continue
        layers[conv] = {"kernel": weights[f"{ours}/conv/kernel"]}
        layers[norm] = {
            role: weights[f"{ours}/norm/{name}"]
            for role, name in (
                ("beta", "bias"),
                ("moving_mean", "mean"),
                ("moving_variance", "var"),
            )
        }
    layers["dense_1"] = {"kernel": np.zeros((1536, 1), np.float32)}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{role}:0".encode() for role in arrays]
            for role, values in arrays.items():
                group[f"{layer}/{role}:0"] = values
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def imported(authors_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    yield lambda: main(["import-keras", str(authors_file), "--out", str(folder / "body")]), folder
    shutil.rmtree(folder)  # pytest would keep it for three runs


def test_import_extract_and_predict(imported, weights, sample, capsys, tmp_path):
    run, folder = imported
    assert run() == 0
    said = capsys.readouterr().err.strip().splitlines()
    body = str(folder / "body")
    assert said == [
        "left out: 1 layer that is not of the body (dense_1)",
        f"{body}: the DeepFL-IQA authors' body; pixels as x/255, since the file has the name of the"
        " authors' published body",
        f"next: deepfl extract PICTURES --model {body} --out features",
        f"or:   deepfl train --data KADIS --init {body} --out run",
    ]
    model = load_model(body)
    assert model.config == ModelConfig((), "zero_to_one")
    assert model.weights.keys() == weights.keys()
    assert all(np.array_equal(model.weights[name], weights[name]) for name in weights)
    # What `deepfl train --init` takes is what bears the names of the new model.
    wanted = functional_model(ModelConfig(("ssim",), "zero_to_one")).shapes
    assert {n for n in wanted if n.startswith("body/")} == model.weights.keys()

    assert run() == 2
    assert f"{body}: exists; choose another --out" in capsys.readouterr().err

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "cat.png"), sample["chelsea"][:80, :96, ::-1])
    assert main(["extract", str(pictures), "--model", body, "--out", str(tmp_path / "out")]) == 0
    (features,) = np.asarray(load_features(tmp_path / "out").matrix, np.float32)
    image = sample["chelsea"][None, :80, :96]
    body_of = jax.jit(lambda weights, x: model.functional.model(weights).body(x))
    _, activations = body_of(model.weights, image / np.float32(255))
    expected = np.concatenate([activations[name].mean(axis=(0, 1, 2)) for name, _ in BLOCKS])
    np.testing.assert_allclose(features, expected, rtol=2e-3, atol=1e-5)  # float16

    assert main(["predict", str(pictures), "--model", body]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"deepfl predict: {body}: is a body without heads and cannot judge;")
    with pytest.raises(ValueError, match="without heads"):
        model.functional.model(model.weights)(image)
