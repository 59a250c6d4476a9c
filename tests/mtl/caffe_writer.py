"""Files of Caffe for tests: protobuf's wire format, written by hand since they are large."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def varint(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def field(number: int, *parts: bytes) -> bytes:
    """Return a field of bytes."""
    return b"".join((varint(number << 3 | 2), varint(sum(map(len, parts))), *parts))


def old_layout(layers: Mapping[str, Sequence[np.ndarray]]) -> Iterable[bytes]:
    """Yield the layers of a file in the layout of BVLC's CaffeNet: V1LayerParameter, 4-D blobs."""
    for name, arrays in layers.items():
        blobs = []
        for array in arrays:
            shape = (*(1,) * (4 - array.ndim), *array.shape)
            numbers = b"".join(varint(k << 3) + varint(n) for k, n in enumerate(shape, 1))
            data = np.ascontiguousarray(array, "<f4").tobytes()
            blobs.append(field(6, numbers, field(5, data)))
        yield field(2, field(4, name.encode()), *blobs)


def caffenet() -> dict[str, list[np.ndarray]]:
    """Return CaffeNet's layers in Caffe's shapes, of zeros that take no memory."""

    def zeros(*shape: int) -> np.ndarray:
        return np.broadcast_to(np.float32(0), shape)

    return {
        "data": [],
        "conv1": [zeros(96, 3, 11, 11), zeros(96)],
        "pool1": [],
        "norm1": [],
        "conv2": [zeros(256, 48, 5, 5), zeros(256)],
        "pool2": [],
        "norm2": [],
        "conv3": [zeros(384, 256, 3, 3), zeros(384)],
        "conv4": [zeros(384, 192, 3, 3), zeros(384)],
        "conv5": [zeros(256, 192, 3, 3), zeros(256)],
        "pool5": [],
        "fc6": [zeros(4096, 9216), zeros(4096)],
        "fc7": [zeros(4096, 4096), zeros(4096)],
        "fc8": [zeros(1000, 4096), zeros(1000)],
    }
