"""InceptionV3 and its importer against Keras' own."""

from keras_parity import KerasParity

from mtl.network.networks import NETWORKS

ROW = NETWORKS["inception_v3"]


class TestInceptionV3(KerasParity):
    row = ROW
    # The inputs of the five strides are 77, 36, 15, 7 and 3, 91, 43, 19, 9 and 4, 85, 40, 17, 8 and
    # 3, and 96, 45, 20, 9 and 4: each is odd and even.
    sizes = ((77, 91), (85, 96))
    parameters = 21_802_784


def test_the_blocks_are_the_eleven_mixed_ones():
    assert len(ROW.blocks) == 11 and ROW.length == 10_048 and ROW.features == 2_048
    assert ROW.blocks[0] == ("mixed0", 256) and ROW.blocks[-1] == ("mixed10", 2_048)
