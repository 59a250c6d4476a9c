"""Write files in PyTorch's layout of before version 1.6, without PyTorch."""

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from types import ModuleType
from unittest.mock import patch

import numpy as np

NAMES = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "u1": "Byte"}


def _module(name: str, **members: object) -> ModuleType:
    module = ModuleType(name)
    for key, member in members.items():
        member.__module__ = name
        setattr(module, key, member)
    return module


def _rebuild_tensor_v2():
    raise AssertionError("is only named in pickles")


def _rebuild_parameter():
    raise AssertionError("is only named in pickles")


STORAGES = {code: type(f"{name}Storage", (), {}) for code, name in NAMES.items()}
UTILS = _module(
    "torch._utils", _rebuild_tensor_v2=_rebuild_tensor_v2, _rebuild_parameter=_rebuild_parameter
)
TORCH = _module("torch", **{kind.__name__: kind for kind in STORAGES.values()})


class Storage:
    """Values under a key."""

    def __init__(self, key: str, values: np.ndarray):
        self.key, self.values = key, values.reshape(-1)

    def persistent_id(self) -> tuple:
        code = self.values.dtype.str[1:]
        return ("storage", STORAGES[code], self.key, "cpu", len(self.values), None)


class Tensor:
    """A view of a storage; `arguments` replaces what it is rebuilt with."""

    def __init__(self, storage, offset, shape, strides, *more):
        self.arguments = (storage, offset, shape, strides, False, OrderedDict(), *more)

    def __reduce__(self):
        return _rebuild_tensor_v2, self.arguments


class Parameter:
    """A tensor that is trained."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor

    def __reduce__(self):
        return _rebuild_parameter, (self.tensor, True, OrderedDict())


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> tuple | None:
        return obj.persistent_id() if isinstance(obj, Storage) else None


def pickled(value: object, protocol: int = 2) -> bytes:
    """The pickle of an object with tensors in it."""
    file = io.BytesIO()
    with patch.dict(sys.modules, {"torch": TORCH, "torch._utils": UTILS}):
        _Pickler(file, protocol).dump(value)
    return file.getvalue()


def tensors_of(arrays: Mapping[str, np.ndarray]) -> tuple[OrderedDict, list[Storage]]:
    """One storage for each array, in C order, and tensors of them."""
    tensors, storages = OrderedDict(), []
    for name, array in arrays.items():
        storages.append(Storage(f"{len(storages)}", np.ascontiguousarray(array)))
        strides = tuple(s // array.itemsize for s in np.ascontiguousarray(array).strides)
        strides = strides if array.ndim else ()
        tensors[name] = Tensor(storages[-1], 0, tuple(map(int, array.shape)), strides)
    tensors._metadata = OrderedDict({"": {"version": 1}})
    return tensors, storages


def torch_file(
    content: bytes,
    storages: list[Storage],
    *,
    keys: object = None,
    machine: object = None,
    magic: object = 0x1950A86A20F9469CFC6C,
    version: object = 1001,
) -> bytes:
    """The bytes of a file: its object is pickled already."""
    sizes = {"short": 2, "int": 4, "long": 4}
    usual = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    keys = [storage.key for storage in storages] if keys is None else keys
    heads = [magic, version, usual if machine is None else machine]
    parts = [*map(pickled, heads), content, pickled(keys)]
    for storage in storages:
        parts += [len(storage.values).to_bytes(8, "little"), storage.values.tobytes()]
    return b"".join(parts)


def saved(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a file of these arrays, as `torch.save(state_dict, ...)` leaves them."""
    tensors, storages = tensors_of(arrays)
    return torch_file(pickled(tensors), storages)
