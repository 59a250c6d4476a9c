"""NASNetMobile and its importer against Keras' own."""

import shutil
from collections.abc import Callable

import h5py
import numpy as np
import pytest
from flax import nnx
from keras_parity import KerasParity

from mtl.network import depthwise
from mtl.network.imports.keras_files import open_keras_file
from mtl.network.imports.keras_layers import body_weights
from mtl.network.imports.pretrained import ImportConfig, import_keras
from mtl.network.keras_weights import KerasWeights, kind_of
from mtl.network.nasnet_mobile import NASNetMobile
from mtl.network.networks import NETWORKS
from mtl.runtime.files import InputError

ROW = NETWORKS["nasnet_mobile"]


class TestNASNetMobile(KerasParity):
    row = ROW
    # The inputs of the four reductions are 33, 17, 9 and 5, and 32, 16, 8 and 4, then 35, 18, 9 and
    # 5, and 38, 19, 10 and 5: each is odd and even, in rows and in columns.
    sizes = ((67, 66), (71, 77))
    parameters = 4_269_716
    static = True

    @pytest.fixture(autouse=True)
    def convolved_as_elsewhere(self, request, monkeypatch):
        """Take XLA's own depthwise convolution for the second picture, as on GPUs."""
        if request.node.name.endswith("gradients_equal_keras[1]"):
            monkeypatch.setattr(depthwise, "sum_of_shifts", depthwise.grouped)

    def test_layers_are_described_in_keras_order(self, networks):
        assert isinstance(ROW.keras, KerasWeights)
        names: dict[str | None, list[str]] = {}
        for layer in networks(self.sizes[0]).layers:
            if layer.weights:
                names.setdefault(kind_of(v.name for v in layer.weights), []).append(layer.name)
        described: dict[str | None, list[str | int]] = {}
        for layer in ROW.keras.layers:
            described.setdefault(layer.kind, []).append(layer.keras)
        assert described == names
        assert {kind: len(of_kind) for kind, of_kind in described.items()} == {
            "convolution": 36,
            "separable convolution": 160,
            "scaled normalisation": 192,
        }

    @pytest.fixture
    def changed(self, model, place):
        """Give a copy of Keras' file with other names of its layers."""

        def change(rename: Callable[[str], str | None]):
            path = place / "changed.weights.h5"
            shutil.copy(place / "mine.weights.h5", path)
            with h5py.File(path, "r+") as file:
                for layer in file["layers"].values():
                    attributes = layer["vars"].attrs if "vars" in layer else {}
                    if "name" in attributes:
                        name = rename(attributes["name"])
                        del attributes["name"]
                        if name is not None:
                            attributes["name"] = name
            return path

        return change

    def test_a_file_without_names_gives_the_same_weights(self, changed, model):
        path = changed(lambda name: None)
        with open_keras_file(path) as file:
            assert {layer.name for layer in file.layers} == {None}
            weights, others = body_weights(path, file, network=ROW)
        assert others == [] and weights.keys() == model.weights.keys()
        assert all(np.array_equal(weights[name], model.weights[name]) for name in weights)

    def test_layers_that_changed_places_are_refused(self, changed, place):
        places = {"normal_left2_0": "normal_right1_0", "normal_right1_0": "normal_left2_0"}

        def swap(name: str) -> str:
            start, end = name[:17], name[17:]
            return start + places.get(end, end) if start == "separable_conv_1_" else name

        problem = "separable_conv_1_normal_left2_0 stands where NASNetMobile of Keras has separable"
        with pytest.raises(InputError, match=problem):
            import_keras(
                ImportConfig(str(changed(swap)), place / "swapped", network="nasnet_mobile")
            )
        assert not (place / "swapped").exists()

    def test_a_body_inside_another_model_is_found(self, networks, model, place):
        import keras

        network = networks(self.sizes[0])
        images = keras.Input((*self.sizes[0], 3))
        pooled = keras.layers.GlobalAveragePooling2D()(network(images))
        whole = keras.Model(images, keras.layers.Dense(1, name="score")(pooled))
        for name, save in (("model.h5", whole.save), ("of.weights.h5", whole.save_weights)):
            save(place / name)
            with open_keras_file(place / name) as file:
                weights, others = body_weights(place / name, file, network=ROW)
            assert others == ["score"] and weights.keys() == model.weights.keys()
            assert all(np.array_equal(weights[name], model.weights[name]) for name in weights)
            (place / name).unlink()


def test_the_blocks_are_the_sixteen_cells():
    assert len(ROW.blocks) == 16 and ROW.length == 8_580 and ROW.features == 1_056
    assert ROW.blocks[:3] == (
        ("reduction_concat_stem_1", 44),
        ("reduction_concat_stem_2", 88),
        ("normal_concat_0", 264),
    )
    assert [name for name, _ in ROW.blocks[6:12]] == [
        "reduction_concat_reduce_4",
        *(f"normal_concat_{k}" for k in range(5, 9)),
        "reduction_concat_reduce_8",
    ]
    assert ROW.blocks[-1] == ("normal_concat_12", 1_056)


def test_it_is_made_whole_only():
    with pytest.raises(ValueError, match=r"width 0\.5 is not one of 1\.0"):
        NASNetMobile(width=0.5, rngs=nnx.Rngs(0))
