"""Files of Caffe: both layouts, the network's weights in them, and what is damaged or another's."""

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from caffe_writer import caffenet, field, old_layout
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from mtl.network.imports.caffe_files import read_caffemodel
from mtl.network.imports.caffe_layers import body_weights
from mtl.network.networks import NETWORKS
from mtl.runtime.files import InputError

ROW = NETWORKS["alexnet"]


def caffe_messages(packed: bool):
    """Caffe's messages from their description, as far as weights are concerned, in protobuf."""
    kinds = descriptor_pb2.FieldDescriptorProto
    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
    messages = {
        "BlobShape": [("dim", 1, many, kinds.TYPE_INT64)],
        "BlobProto": [
            *((name, k, one, kinds.TYPE_INT32)
              for k, name in enumerate(("num", "channels", "height", "width"), 1)),
            ("data", 5, many, kinds.TYPE_FLOAT),
            ("diff", 6, many, kinds.TYPE_FLOAT),
            ("shape", 7, one, "BlobShape"),
            ("double_data", 8, many, kinds.TYPE_DOUBLE),
        ],
        "LayerParameter": [
            ("name", 1, one, kinds.TYPE_STRING),
            ("type", 2, one, kinds.TYPE_STRING),
            ("bottom", 3, many, kinds.TYPE_STRING),
            ("loss_weight", 5, many, kinds.TYPE_FLOAT),
            ("blobs", 7, many, "BlobProto"),
        ],
        "V1LayerParameter": [
            ("layer", 1, one, "BlobShape"),
            ("bottom", 2, many, kinds.TYPE_STRING),
            ("name", 4, one, kinds.TYPE_STRING),
            ("type", 5, one, kinds.TYPE_INT32),
            ("blobs", 6, many, "BlobProto"),
        ],
        "NetParameter": [
            ("name", 1, one, kinds.TYPE_STRING),
            ("layers", 2, many, "V1LayerParameter"),
            ("force_backward", 5, one, kinds.TYPE_BOOL),
            ("layer", 100, many, "LayerParameter"),
        ],
    }  # fmt: skip
    for message, fields in messages.items():
        made = file.message_type.add(name=message)
        for name, number, label, kind in fields:
            field = made.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                field.type = kind
                if label == many and kind != kinds.TYPE_STRING:
                    field.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))
        for name in messages
    }


PACKED, UNPACKED = caffe_messages(True), caffe_messages(False)


def net_bytes(layers, *, old=False, double=False, messages=PACKED) -> bytes:
    """A file in Caffe's old or new layout.

    Args:
        layers: (name, blobs), in Caffe's shapes; fully connected kernels have two dimensions.
        old: V1LayerParameter, and four dimensions everywhere.
        double: values of double precision.
        messages: of `caffe_messages`.
    """
    net = messages["NetParameter"](name="CaffeNet")
    for name, blobs in layers:
        layer = net.layers.add(name=name, type=4) if old else net.layer.add(name=name, type="X")
        layer.bottom.append("data")
        for blob in blobs:
            stored = layer.blobs.add()
            if old:
                four = (*(1,) * (4 - blob.ndim), *blob.shape)
                stored.num, stored.channels, stored.height, stored.width = four
            else:
                stored.shape.dim.extend(blob.shape)
            (stored.double_data if double else stored.data).extend(blob.ravel().tolist())
    return net.SerializeToString()


@pytest.fixture(scope="module")
def small_layers():
    rng = np.random.default_rng(0)
    shapes = {"conv1": [(4, 3, 2, 2), (4,)], "pool1": [], "ip": [(5, 8), (5,)], "scale": [(1,)]}
    return [
        (name, [rng.normal(size=shape).astype(np.float32) for shape in found])
        for name, found in shapes.items()
    ]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("messages", [PACKED, UNPACKED], ids=["packed", "unpacked"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_both_layouts_are_read_as_protobuf_writes_them(
    small_layers, tmp_path, old, messages, double
):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net_bytes(small_layers, old=old, double=double, messages=messages))
    found = read_caffemodel(path)
    assert list(found) == [name for name, _ in small_layers]
    for name, blobs in small_layers:
        assert len(found[name]) == len(blobs)
        for ours, theirs in zip(found[name], blobs, strict=True):
            assert ours.dtype == (np.float64 if double else np.float32)
            assert ours.shape == ((*(1,) * (4 - theirs.ndim), *theirs.shape) if old
                                  else theirs.shape)  # fmt: skip
            np.testing.assert_array_equal(ours.ravel(), theirs.ravel())


def test_what_these_tests_write_by_hand_is_what_protobuf_writes(small_layers):
    by_hand = b"".join(old_layout(dict(small_layers)))
    theirs = PACKED["NetParameter"].FromString(by_hand)
    expected = PACKED["NetParameter"].FromString(net_bytes(small_layers, old=True))
    assert len(theirs.layers) == len(expected.layers) == len(small_layers)
    for one, other in zip(theirs.layers, expected.layers, strict=True):
        assert one.name == other.name and list(one.blobs) == list(other.blobs)


def test_layers_that_are_there_twice_and_momenta_are_passed_over(small_layers, tmp_path):
    path = tmp_path / "net.caffemodel"
    data = net_bytes([("data", []), *small_layers, ("data", [])])
    net = PACKED["NetParameter"].FromString(data)
    net.layer[1].blobs[0].diff.extend([9.0] * 48)  # what a solver's snapshot may hold beside it
    net.layer[1].loss_weight.append(1)
    path.write_bytes(net.SerializeToString())
    found = read_caffemodel(path)
    assert list(found) == ["data", *(name for name, _ in small_layers)] and found["data"] == []
    np.testing.assert_array_equal(found["conv1"][0], small_layers[0][1][0])


def layer_of(blob: bytes) -> bytes:
    """A file with one layer of the old layout, with a blob."""
    return field(2, field(4, b"a") + field(6, blob))


ONE = struct.pack("<f", 1)
SHAPE = bytes([1 << 3, 1, 2 << 3, 1, 3 << 3, 1, 4 << 3, 1])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "holds no layers with weights"),
        (field(1, b"a net"), "holds no layers with weights"),
        (field(2, field(4, b"a")), "holds no layers with weights"),
        (field(2, field(1, b"")), "layout of Caffe before 2014"),
        (b'name: "CaffeNet"\nlayer {\n', "wire type"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "damaged or cut short"),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "field 2 is 1844.* long, 0 are left"),
        (b"\x12" + b"\xff" * 10 + b"\x01", "more than 64 bits"),
        (b"\x12\x80", "ends inside a number"),
        (b"\x02\x00", "field 0 has wire type 2"),
        (b"\x10\x05", "message or text has wire type 0"),
        (field(2, field(4, b"\xff")), "not UTF-8"),
        (layer_of(SHAPE), "an array has no values"),
        (layer_of(SHAPE + field(5, ONE) + field(8, ONE * 2)), "has values twice"),
        (layer_of(SHAPE + field(5, ONE[:3])), "values of an array are cut short"),
        (layer_of(SHAPE + field(5, ONE * 2)), r"shape \(1, 1, 1, 1\) has 2 values"),
        (layer_of(field(5, ONE)), r"shape \(0, 0, 0, 0\) has 1 values"),
        (layer_of(SHAPE + b"\x29" + bytes(8)), "values have wire type 1"),
        (layer_of(field(5, ONE) + field(7, field(1, b"\x01" * 33))), "more than 32 dimensions"),
        (
            layer_of(field(5, ONE) + field(7, b"\x08" + b"\xff" * 9 + b"\x01")),
            r"shape \(18446744073709551615,\) has 1 values",
        ),
        (layer_of(SHAPE + field(5, ONE)) * 2, "two layers 'a' have weights"),
        (field(2, field(4, b"a") + field(6, SHAPE + field(5, ONE)) * 5) * 2, "two layers"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_one_line(tmp_path, data, why):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    with pytest.raises(InputError, match=why) as error:
        read_caffemodel(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_too_many_parts_and_files_that_are_none_are_refused(tmp_path):
    path = tmp_path / "net.caffemodel"
    many = b"".join(field(2, field(4, str(k).encode())) for k in range(10_001))
    path.write_bytes(many)
    with pytest.raises(InputError, match="more than 10000 layers"):
        read_caffemodel(path)
    blobs = field(6, SHAPE + field(5, ONE)) * 101
    path.write_bytes(field(2, blobs))
    with pytest.raises(InputError, match="more than 100 arrays"):
        read_caffemodel(path)
    for tiny in (b"\x28\x00" * 1_000_001, field(2, b"\x28\x00" * 1_000_000)):
        path.write_bytes(tiny)
        with pytest.raises(InputError, match="more than 1000000 fields"):
            read_caffemodel(path)
    with path.open("wb") as file:  # is mapped, not read
        file.truncate(2**31 - 1)
    tracemalloc.start()
    with pytest.raises(InputError, match="is not a file of Caffe"):
        read_caffemodel(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    with pytest.raises(InputError, match="is not a file; give a"):
        read_caffemodel(tmp_path)
    with pytest.raises(InputError, match="no such file; give a"):
        read_caffemodel(tmp_path / "none")
    with path.open("r+b") as file:  # with a hole in it
        file.truncate(2**31)
    with pytest.raises(InputError, match="is larger than a message can be"):
        read_caffemodel(path)


@given(st.data())
def test_damage_anywhere_is_one_line(small_layers, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "mutated.caffemodel"
    whole = bytearray(net_bytes(small_layers, old=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        found = read_caffemodel(path)
    except InputError as error:
        assert "\n" not in str(error)
        return
    # What was still read is no larger than the file.
    assert sum(blob.nbytes for blobs in found.values() for blob in blobs) <= path.stat().st_size


def test_layers_become_ours():
    layers = caffenet()
    rng = np.random.default_rng(1)
    for name in ("conv1", "conv2"):
        layers[name][0] = rng.normal(size=layers[name][0].shape).astype(np.float32)
    # Few of fc6's rows are filled, for speed: what the tenth output sees of a 6×6 map.
    fc6 = np.zeros((4096, 9216), np.float32)
    fc6[10] = rng.normal(size=9216)
    layers["fc6"] = [fc6, rng.normal(size=(1, 1, 1, 4096))]
    layers["fc7"][0] = layers["fc7"][0].reshape(1, 1, 4096, 4096)
    weights, others = body_weights(Path("net.caffemodel"), layers, ROW)
    assert others == ["fc8"]
    assert all(values.dtype == np.float32 for values in weights.values())
    kernel = weights["body/conv2/conv/kernel"]
    assert kernel.shape == (5, 5, 48, 256)
    assert kernel[1, 2, 3, 4] == layers["conv2"][0][4, 3, 1, 2]
    # Blue stays first.
    np.testing.assert_array_equal(weights["body/conv1/conv/kernel"][..., 0, 7],
                                  layers["conv1"][0][7, 0])  # fmt: skip
    # Caffe joins a map by channel, row and column.
    seen = rng.normal(size=(256, 6, 6)).astype(np.float32)
    ours = np.einsum("hwc,hwc->", seen.transpose(1, 2, 0),
                     weights["body/fc6/conv/kernel"][..., 10])  # fmt: skip
    np.testing.assert_allclose(ours, fc6[10] @ seen.ravel(), rtol=1e-4)
    np.testing.assert_allclose(weights["body/fc6/conv/bias"], layers["fc6"][1].ravel(), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"conv3": None}, "has no weights of conv3, which AlexNet"),
        ({"conv3": [], "fc7": []}, "has no weights of conv3, fc7, which AlexNet"),
        ({"conv2": [np.zeros((256, 96, 5, 5)), np.zeros(256)]}, r"conv2 is \(256, 96, 5, 5\), .*"
         r"needs \(256, 48, 5, 5\); it is of another"),
        ({"fc7": [np.zeros((4096, 1)), np.zeros(4096)]}, r"fc7 is \(4096, 1\)"),
        ({"conv1": [np.zeros((96, 3, 11, 11))]}, "conv1 has 1 arrays in the place of"),
        ({"conv1": [np.zeros((96, 3, 11, 11)), np.full(96, np.nan)]}, "bias of conv1 holds values"),
        ({"conv1": [np.full((96, 3, 11, 11), 1e300), np.zeros(96)]}, "kernel of conv1 holds"),
    ],
)  # fmt: skip
def test_other_networks_are_refused(changes, why):
    layers = {name: blobs for name, blobs in {**caffenet(), **changes}.items() if blobs is not None}
    with pytest.raises(InputError, match=why):
        body_weights(Path("net.caffemodel"), layers, ROW)


def test_alexnet_with_its_normalisation_before_the_pool_is_another_network():
    layers = caffenet()
    names = ["data", "conv1", "norm1", "pool1", "conv2", "norm2", "pool2", *list(layers)[7:]]
    with pytest.raises(InputError, match="norm1 before pool1, as BVLC's AlexNet has; AlexNet"):
        body_weights(Path("bvlc_alexnet.caffemodel"), {n: layers[n] for n in names}, ROW)
    with pytest.raises(ValueError, match="ResNet-50 has no layers in Caffe"):
        body_weights(Path("x"), layers, NETWORKS["resnet50"])
