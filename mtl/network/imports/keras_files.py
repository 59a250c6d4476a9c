"""The weights in an HDF5 file that Keras wrote, read with h5py alone: no Keras, nothing unpickled.

Three layouts, told apart by what the file holds:

    legacy weights   attribute layer_names, a group per layer with the attribute weight_names
    legacy model     the same inside the group model_weights
    Keras 3          layers/CLASS_NUMBER/vars/0, 1, ...; each class is numbered by itself

All of them keep the layers in the model's order, by distance from the output. A model that is a
layer of another gives its layers in its place.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mtl.runtime.files import InputError

HINT = "give a file of weights that Keras wrote (.h5 or .hdf5)"
EXTRA = "pip install 'deepfl-iqa[import]'"

# Group that holds the layers: Keras 3, and Keras 2.13 before it.
LAYER_GROUPS = ("layers", "_layer_checkpoint_dependencies")

# What the numbered variables of a layer are in Keras 3, by their numbers of dimensions.
ROLES: Mapping[tuple[int, ...], tuple[str, ...]] = {
    (4,): ("kernel",),
    (4, 1): ("kernel", "bias"),
    (4, 4): ("depthwise_kernel", "pointwise_kernel"),
    (2,): ("kernel",),
    (2, 1): ("kernel", "bias"),
    (1, 1, 1): ("beta", "moving_mean", "moving_variance"),
    (1, 1, 1, 1): ("gamma", "beta", "moving_mean", "moving_variance"),
}


@dataclass(frozen=True)
class StoredLayer:
    """A layer that has weights, not yet read."""

    name: str | None
    """None where the file does not keep names."""
    weights: Mapping[str, Any]
    """HDF5 data sets by what they are: kernel, bias, gamma, beta, moving_mean, moving_variance."""


@dataclass(frozen=True)
class KerasFile:
    """An open file."""

    layers: list[StoredLayer]
    keras_version: str | None
    """The version that wrote it, where it says so."""


@contextmanager
def open_keras_file(path: Path) -> Iterator[KerasFile]:
    """Open a file of weights; the layers can be read until the context ends.

    Raises:
        InputError: there is no such file, or it is damaged or not one of Keras'.
    """
    h5py = _h5py()
    if not path.exists():
        raise InputError(f"{path}: no such file; {HINT}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; {HINT}")
    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: is not an HDF5 file; {HINT}")
    try:
        with h5py.File(path, "r") as file:
            version = file.attrs.get("keras_version")
            yield KerasFile(_sound_layers(path, file), None if version is None else _text(version))
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is damaged or cut short ({error}); fetch it again") from error


def _sound_layers(path: Path, file: Any) -> list[StoredLayer]:
    """Return the layers; refuse groups where data sets belong, and the other way round."""
    try:
        layers = _layers(path, file)
        if all(hasattr(values, "ndim") for layer in layers for values in layer.weights.values()):
            return layers
    except (AttributeError, TypeError, ValueError):  # as h5py says it
        pass
    raise InputError(f"{path}: is not as Keras lays files out; {HINT}")


def _layers(path: Path, file: Any) -> list[StoredLayer]:
    root = file.get("model_weights", file)
    if _text(root.attrs.get("backend", "")) == "theano":
        raise InputError(f"{path}: was written with Theano, whose kernels are mirrored; {HINT}")
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return list(_legacy_layers(path, root))
    for name in LAYER_GROUPS:
        if name in root:
            return list(_numbered_layers(root[name]))
    raise InputError(f"{path}: holds no layers of a Keras model; {HINT}")


def _legacy_layers(path: Path, root: Any) -> Iterator[StoredLayer]:
    for name in _names(root, "layer_names"):
        group = _child(path, root, name)
        weights = {n: _child(path, group, n) for n in _names(group, "weight_names")}
        roles = [_role(n) for n in weights]
        if len(set(roles)) == len(roles):
            if roles:
                yield StoredLayer(name, dict(zip(roles, weights.values(), strict=True)))
            continue
        # A model as a layer: first what is trained of all its layers, then their statistics.
        inner: dict[str, dict[str, Any]] = {}
        for n, values in weights.items():
            inner.setdefault(n.rpartition("/")[0], {})[_role(n)] = values
        for owner, values in inner.items():
            yield StoredLayer(owner.rpartition("/")[2], values)


def _numbered_layers(group: Any) -> Iterator[StoredLayer]:
    for key in sorted(group, key=_class_and_number):
        layer = group[key]
        variables = layer.get("vars", {})
        values = [variables[n] for n in sorted(variables, key=int)]
        roles = ROLES.get(tuple(v.ndim for v in values))
        if roles is not None:
            name = variables.attrs.get("name")
            yield StoredLayer(
                None if name is None else _text(name), dict(zip(roles, values, strict=True))
            )
        for inner in LAYER_GROUPS:
            if inner in layer:
                yield from _numbered_layers(layer[inner])


def _class_and_number(key: str) -> tuple[str, int]:
    """`conv2d` is the first of its class, `conv2d_1` the second."""
    match = re.fullmatch(r"(.+)_(\d+)", key)
    return (match[1], int(match[2])) if match else (key, 0)


def _role(weight: str) -> str:
    """`conv2d_1/kernel:0` is a kernel."""
    return weight.rpartition("/")[2].partition(":")[0]


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names; Keras cuts long ones into attribute0, attribute1, ..."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    names, chunk = [], 0
    while f"{attribute}{chunk}" in group.attrs:
        names += [_text(name) for name in group.attrs[f"{attribute}{chunk}"]]
        chunk += 1
    return names


def _child(path: Path, group: Any, name: str) -> Any:
    if name not in group:
        raise InputError(f"{path}: lists {name} but does not hold it; it is damaged or was changed")
    return group[name]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes | np.bytes_) else str(value)


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"h5py, which reads Keras' files, is missing: {EXTRA}") from error
    return h5py
