"""The weights in a .caffemodel file, read without Caffe or protobuf; nothing is unpickled.

Such a file is one message in protobuf's wire format (protobuf.dev/programming-guides/encoding). Of
Caffe's messages (src/caffe/proto/caffe.proto) these fields are read, in the old layout and in the
new one; all others are passed over:

    NetParameter       layers 2 (V1LayerParameter), layer 100 (LayerParameter)
    V1LayerParameter   layer 1 (of the layout before it), name 4, blobs 6
    LayerParameter     name 1, blobs 7
    BlobProto          num 1, channels 2, height 3, width 4, data 5, shape 7, double_data 8
    BlobShape          dim 1

The file is mapped, not read. Every length is compared with what is left of the message around it
before it is used, and fields are counted, so a damaged file costs no more memory than a sound one
of its size, and a second or two.
"""

import math
import mmap
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from mtl.runtime.files import InputError

HINT = "give a .caffemodel file of trained weights"

LARGEST = 2**31 - 1  # bytes of a message, protobuf's limit
MOST_DIMENSIONS = 32  # of a blob; kMaxBlobAxes in Caffe's blob.hpp
MOST_LAYERS = 10_000  # ResNet-152 has about 500
MOST_BLOBS = 100  # of a layer; a convolution has 2, a normalisation 3
MOST_FIELDS = 1_000_000  # of a file; an array has 2 to 5, whatever its size

# Wire types.
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5

# Fields, by number.
NET_LAYERS_V1, NET_LAYERS = 2, 100
LAYER_NAME, LAYER_BLOBS = 1, 7
V1_FIRST_LAYOUT, V1_NAME, V1_BLOBS = 1, 4, 6
BLOB_LEGACY_SHAPE = (1, 2, 3, 4)
BLOB_DATA, BLOB_SHAPE, BLOB_DOUBLES = 5, 7, 8
SHAPE_DIM = 1

Value = int | memoryview
Field = tuple[int, int, Value]
"""Number, wire type, and a varint's value or the bytes of anything else."""


class Damage(ValueError):
    """What makes a message unreadable."""


class FirstLayout(Damage):
    """A layer of the layout before V1LayerParameter."""


def read_caffemodel(path: Path) -> dict[str, list[np.ndarray]]:
    """Return the blobs of every layer by its name, in the file's order.

    Layers without weights are there with no blobs. Kernels are (outputs, inputs, height, width),
    those of fully connected layers (outputs, inputs); old files have four dimensions everywhere,
    the first of them 1 where there are fewer.

    Args:
        path: of the file.

    Returns:
        Arrays of float32 or float64.

    Raises:
        InputError: there is no such file, it is damaged or cut short, or it is not Caffe's.
    """
    if not path.is_file():
        why = "is not a file" if path.exists() else "no such file"
        raise InputError(f"{path}: {why}; {HINT}")
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size > LARGEST:
                raise InputError(
                    f"{path}: is larger than a message can be ({LARGEST} bytes); {HINT}"
                )
            # Nothing can be mapped of an empty file.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {HINT}") from error
    try:
        layers = _layers(memoryview(data), count(1))
    except FirstLayout as error:
        raise InputError(
            f"{path}: has the layout of Caffe before 2014; convert it with Caffe's own"
            " upgrade_net_proto_binary"
        ) from error
    except Damage as error:
        raise InputError(
            f"{path}: is not a file of Caffe, or is damaged or cut short ({error}); fetch it again"
        ) from error
    if not any(layers.values()):
        raise InputError(f"{path}: holds no layers with weights; {HINT}")
    return layers


def _layers(net: memoryview, counter: Iterator[int]) -> dict[str, list[np.ndarray]]:
    found: dict[str, list[np.ndarray]] = {}
    for number, wire, value in fields(net, counter):
        if number not in (NET_LAYERS, NET_LAYERS_V1):
            continue
        old = number == NET_LAYERS_V1
        name, blobs = _layer(_bytes(wire, value), old, counter)
        # A layer may be there once for training and once for testing, without weights.
        if blobs and found.get(name):
            raise Damage(f"two layers {name[:40]!r} have weights")
        found[name] = blobs or found.get(name, [])
        if len(found) > MOST_LAYERS:
            raise Damage(f"it has more than {MOST_LAYERS} layers")
    return found


def _layer(message: memoryview, old: bool, counter: Iterator[int]) -> tuple[str, list[np.ndarray]]:
    """Return a layer's name and blobs."""
    name, blobs = "", []
    of_name, of_blobs = (V1_NAME, V1_BLOBS) if old else (LAYER_NAME, LAYER_BLOBS)
    for number, wire, value in fields(message, counter):
        if old and number == V1_FIRST_LAYOUT:
            raise FirstLayout
        if number == of_name:
            name = _text(_bytes(wire, value))
        elif number == of_blobs:
            blobs.append(_blob(_bytes(wire, value), counter))
            if len(blobs) > MOST_BLOBS:
                raise Damage(f"a layer has more than {MOST_BLOBS} arrays")
    return name, blobs


def _blob(message: memoryview, counter: Iterator[int]) -> np.ndarray:
    """Return an array in its shape."""
    legacy, shape = dict.fromkeys(BLOB_LEGACY_SHAPE, 0), None
    parts = {BLOB_DATA: bytearray(), BLOB_DOUBLES: bytearray()}
    kinds = {BLOB_DATA: (FOUR_BYTES, "<f4"), BLOB_DOUBLES: (EIGHT_BYTES, "<f8")}
    for number, wire, value in fields(message, counter):
        if number in BLOB_LEGACY_SHAPE:
            legacy[number] = _number(wire, value)
        elif number == BLOB_SHAPE:
            shape = _dimensions(_bytes(wire, value), counter)
        elif number in kinds and not isinstance(value, int):
            # One value, or packed: any number of them.
            if wire not in (kinds[number][0], BYTES):
                raise Damage(f"values have wire type {wire}")
            parts[number] += value
    held = [number for number, part in parts.items() if part]
    if len(held) != 1:
        raise Damage("an array has no values" if not held else "an array has values twice")
    kind, part = kinds[held[0]][1], parts[held[0]]
    if len(part) % np.dtype(kind).itemsize:
        raise Damage("the values of an array are cut short")
    values = np.frombuffer(part, kind)
    shape = tuple(legacy.values()) if shape is None else shape
    if math.prod(shape) != values.size:
        raise Damage(f"an array of shape {shape} has {values.size} values")
    return values.reshape(shape)


def _dimensions(message: memoryview, counter: Iterator[int]) -> tuple[int, ...]:
    """Return a BlobShape; its numbers are packed or not."""
    found: list[int] = []
    for number, wire, value in fields(message, counter):
        if number != SHAPE_DIM:
            continue
        if isinstance(value, int):
            found.append(value)
        else:
            packed, place = _bytes(wire, value), 0
            while place < len(packed) and len(found) <= MOST_DIMENSIONS:
                one, place = varint(packed, place)
                found.append(one)
        if len(found) > MOST_DIMENSIONS:
            raise Damage(f"an array has more than {MOST_DIMENSIONS} dimensions")
    return tuple(found)


def fields(message: memoryview, counter: Iterator[int]) -> Iterator[Field]:
    """Yield the fields of a message.

    Args:
        message: its bytes.
        counter: counts the fields of the file, from 1.

    Raises:
        Damage: the bytes are not whole fields, or the file has too many.
    """
    place = 0
    while place < len(message):
        if next(counter) > MOST_FIELDS:
            raise Damage(f"it has more than {MOST_FIELDS} fields")
        tag, place = varint(message, place)
        number, wire = tag >> 3, tag & 7
        if number == 0 or wire not in (VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES):
            raise Damage(f"field {number} has wire type {wire}")
        if wire == VARINT:
            value, place = varint(message, place)
            yield number, wire, value
            continue
        length = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(wire)
        if length is None:
            length, place = varint(message, place)
        if length > len(message) - place:
            raise Damage(f"field {number} is {length} bytes long, {len(message) - place} are left")
        yield number, wire, message[place : place + length]
        place += length


def varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the number of at most 64 bits at a place, and the place after it.

    Raises:
        Damage: the message ends before it, or it is longer.
    """
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise Damage("it ends inside a number")
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128 and value < 1 << 64:
            return value, place
        if byte < 128:
            break
    raise Damage("a number has more than 64 bits")


def _number(wire: int, value: Value) -> int:
    if wire != VARINT or not isinstance(value, int):
        raise Damage(f"a number has wire type {wire}")
    return value


def _bytes(wire: int, value: Value) -> memoryview:
    if wire != BYTES or isinstance(value, int):
        raise Damage(f"a message or text has wire type {wire}")
    return value


def _text(value: memoryview) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        raise Damage("a name is not UTF-8") from error
