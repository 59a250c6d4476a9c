"""ResNet-50, ResNet-101 and their importer against Keras' own."""

import json

import pytest
from keras_parity import KerasParity

from mtl.network.imports.pretrained import ImportConfig, import_keras
from mtl.network.networks import NETWORKS
from mtl.runtime.files import InputError

# The inputs of the five strides are 77, 39, 20, 10 and 5, 91, 46, 23, 12 and 6, 85, 43, 22, 11 and
# 6, and 96, 48, 24, 12 and 6: each is odd and even.
SIZES = ((77, 91), (85, 96))


class TestResNet50(KerasParity):
    row = NETWORKS["resnet50"]
    sizes = SIZES
    parameters = 23_587_712

    def test_the_folder_says_what_it_is(self, model):
        assert model.config.network == "resnet50" and model.config.scaling == "caffe"
        notes = json.loads((model.folder / "model.json").read_text())["notes"]["origin"]
        assert notes["weights"] == "weights of Keras' ResNet-50"
        assert notes["scaling_because"] == "Keras feeds ResNet-50 so" and notes["left_out"] == []

    def test_a_file_is_of_one_network(self, model, place):
        path = str(place / "mine.weights.h5")
        with pytest.raises(InputError, match=r"53 convolutions and 0 batch .*ResNetV2 244 and"):
            import_keras(ImportConfig(path, place / "other"))
        with pytest.raises(InputError, match=r"53 convolutions and 53 .*, ResNet-101 104 and 104"):
            import_keras(ImportConfig(path, place / "other", network="resnet101"))
        with pytest.raises(InputError, match="network vgg: is not one of inception_resnet_v2, res"):
            import_keras(ImportConfig(path, place / "other", network="vgg"))
        with pytest.raises(InputError, match="--scaling bgr: is not one of minus_one_to_one, zero"):
            import_keras(ImportConfig(path, place / "other", "bgr", "resnet50"))
        assert not (place / "other").exists()


class TestResNet101(KerasParity):
    row = NETWORKS["resnet101"]
    sizes = SIZES
    parameters = 42_658_176


def test_the_blocks_are_the_residual_blocks():
    for name, number, length in (("resnet50", 16, 15_104), ("resnet101", 33, 32_512)):
        row = NETWORKS[name]
        assert len(row.blocks) == number and row.length == length and row.features == 2_048
