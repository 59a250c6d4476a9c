"""VGG16 and its importer against Keras' own."""

from keras_parity import KerasParity

from mtl.network.networks import NETWORKS


class TestVGG16(KerasParity):
    row = NETWORKS["vgg16"]
    # The inputs of the five pools are 77, 38, 19, 9 and 4, and 86, 43, 21, 10 and 5.
    sizes = ((77, 91), (86, 96))
    parameters = 14_714_688


def test_the_blocks_are_the_thirteen_convolutions():
    row = NETWORKS["vgg16"]
    assert len(row.blocks) == 13 and row.length == 4_224 and row.features == 512
    assert row.blocks[0] == ("block1_conv1", 64) and row.blocks[-1] == ("block5_conv3", 512)
