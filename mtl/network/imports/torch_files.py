"""The tensors of an old-style file of PyTorch, read without PyTorch and without running anything.

`torch.save` wrote such files until version 1.6, and still does when asked. They are five pickles
and the values:

    a magic number · the version of the layout · sizes and byte order of the machine
    the object, whose tensors name their storages     (protocol 2)
    the names of the storages, in the order of what follows
    of each storage its length, 8 bytes, and its values, all of them little-endian

A pickle is a program for a small machine, and can call any function of Python. This module has a
machine of its own, which knows the 32 instructions that a dictionary of tensors needs and refuses
all others. The eight names that it accepts stand for what is below, never for something imported.
The file is mapped, not read. Before any array is made, each length is compared with the file's, and
each tensor with its storage.
"""

import io
import mmap
import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mtl.runtime.files import InputError

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001  # of the layout
ZIP = b"PK\x03\x04"  # how files of the newer layout begin
MOST_INSTRUCTIONS = 1_000_000  # of a pickle; a tensor takes about 40
MOST_DIMENSIONS = 8
MOST_BYTES = 2**30  # of a file; VGG19's have 0.6 GB
HEAD = 64  # bytes that hold the first pickle, if the file is one of PyTorch's
SHOWN = 60  # characters of what a file says that a message repeats

# Values of the storages that are read, by PyTorch's names.
DTYPES: Mapping[str, np.dtype] = {
    f"torch {name}Storage": np.dtype(dtype)
    for name, dtype in (
        ("Float", "<f4"),
        ("Double", "<f8"),
        ("Half", "<f2"),
        ("Long", "<i8"),
        ("Int", "<i4"),
    )
}
ORDERED_DICT = "collections OrderedDict"
TENSOR = "torch._utils _rebuild_tensor_v2"
PARAMETER = "torch._utils _rebuild_parameter"
GLOBALS = frozenset({ORDERED_DICT, TENSOR, PARAMETER, *DTYPES})


@dataclass(frozen=True)
class _Global:
    """A name that the file uses, such as `torch FloatStorage`; never looked up."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Values that tensors share, as the pickle announces them."""

    key: str
    dtype: np.dtype
    length: int


@dataclass(frozen=True)
class _Tensor:
    """A tensor as the pickle describes it; it lies inside its storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Refused(Exception):
    """What the file holds that no file of weights does."""


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Read a dictionary of tensors, such as a module's `state_dict()`.

    Args:
        path: a file that `torch.save` wrote in the layout of before PyTorch 1.6.

    Returns:
        Arrays by the tensors' names, which cannot be written to.

    Raises:
        InputError: the file is not there, is damaged, is of another layout, or holds anything but
            tensors. Nothing in it was executed.
    """
    try:
        if not path.is_file():
            why = "is not a file" if path.exists() else "no such file"
            raise InputError(f"{path}: {why} of weights; give a .pth file")
        with path.open("rb") as file:
            _check_magic(file.read(HEAD))
            if path.stat().st_size > MOST_BYTES:
                raise _Refused(f"is larger than {MOST_BYTES} bytes; save a state_dict() alone")
            return _read(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a .pth file") from error
    except _Refused as error:
        raise InputError(f"{path}: {error}") from error


def _check_magic(head: bytes) -> None:
    """Refuse a file by its first bytes, so that no large one is read in vain."""
    if head.startswith(ZIP):
        raise _Refused(
            "is in PyTorch's newer zip layout; load it in PyTorch and save it with"
            " torch.save(state_dict, FILE, _use_new_zipfile_serialization=False)"
        )
    try:
        magic = _Machine(io.BytesIO(head), len(head)).run()
    except _Refused:
        magic = None
    if type(magic) is not int or magic != MAGIC:
        raise _Refused("is not a file of weights that PyTorch wrote; give a .pth file")


def _read(data: mmap.mmap) -> dict[str, np.ndarray]:
    _Machine(data, len(data)).run()  # the magic number
    version = _Machine(data, len(data)).run()
    if type(version) is not int or version != VERSION:
        raise _Refused(f"has version {_shown(version)} of PyTorch's layout, not {VERSION}")
    machine = _Machine(data, len(data)).run()
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _Refused("was not written by a little-endian machine; save it again on one")
    pickle = _Machine(data, len(data))
    tensors = _tensors(pickle.run())
    keys = _Machine(data, len(data)).run()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise _Refused(_damaged("its list of storages is not one"))
    if len(set(keys)) != len(keys) or set(keys) != pickle.storages.keys():
        raise _Refused(_damaged("its list of storages is not that of its tensors"))
    starts = _starts(data, data.tell(), [pickle.storages[key] for key in keys])
    return {name: _array(tensor, data, starts) for name, tensor in tensors.items()}


def _tensors(value: Any) -> dict[str, _Tensor]:
    """Return the object's tensors by name."""
    if not isinstance(value, dict):
        raise _Refused(f"holds {_shown(value)}, not a dictionary of tensors; save a state_dict()")
    for name, found in value.items():
        if not isinstance(found, _Tensor):
            raise _Refused(
                f"holds {_shown(found)} under {_shown(name)}, not a tensor; save the model's"
                " state_dict() alone"
            )
        if not isinstance(name, str):
            raise _Refused(f"names a tensor {_shown(name)}; save the model's state_dict()")
    return value


def _starts(data: mmap.mmap, place: int, storages: list[_Storage]) -> dict[str, int]:
    """Return where the values of each storage begin; they have to fill the rest of the file."""
    starts = {}
    for storage in storages:
        if int.from_bytes(data[place : place + 8], "little", signed=True) != storage.length:
            raise _Refused(_damaged("a storage has another length than was announced"))
        starts[storage.key] = place + 8
        place += 8 + storage.length * storage.dtype.itemsize
        if place > len(data):
            raise _Refused(_damaged("it ends before its values do"))
    if place != len(data):
        raise _Refused(_damaged(f"{len(data) - place} bytes follow its values"))
    return starts


def _array(tensor: _Tensor, data: mmap.mmap, starts: Mapping[str, int]) -> np.ndarray:
    """Return a view of the file's bytes; NumPy compares its bounds once more."""
    dtype = tensor.storage.dtype
    return np.ndarray(
        tensor.shape,
        dtype,
        memoryview(data)[starts[tensor.storage.key] :][: tensor.storage.length * dtype.itemsize],
        tensor.offset * dtype.itemsize,
        [stride * dtype.itemsize for stride in tensor.strides],
    )


class _Machine:
    """Runs one pickle.

    Args:
        file: at the pickle's first instruction; after the run, behind its last.
        size: of the whole file, bytes.
    """

    def __init__(self, file: io.BytesIO | mmap.mmap, size: int):
        self.file, self.size = file, size
        self.storages: dict[str, _Storage] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []  # heights of the stack
        self._memory: dict[int, Any] = {}

    def run(self) -> Any:
        """Return the object; its parts are None, bool, int, float, str, tuple, list, dict, tensors.

        Raises:
            _Refused: there is an instruction that is not known, or does not fit.
        """
        try:
            for number, (name, argument) in enumerate(self._instructions()):
                if number >= MOST_INSTRUCTIONS:
                    raise _Refused(f"has more than {MOST_INSTRUCTIONS} instructions in a pickle")
                if name == "STOP":
                    return self._last()
                if name in _LITERALS:
                    self._stack.append(argument)
                elif name in _EMPTY:
                    self._stack.append(_EMPTY[name]())
                elif name in _STEPS:
                    _STEPS[name](self, argument)
                else:
                    raise _Refused(
                        f"holds the pickle instruction {name}, which tensors do not need; nothing"
                        " was executed; take weights from a source you trust"
                    )
        # What is missing on the stack or in the memory, and bytes that are no instruction.
        except (IndexError, KeyError, ValueError) as error:
            raise _Refused(_damaged(_shown(str(error)))) from error
        raise _Refused(_damaged("a pickle does not end"))

    def _instructions(self) -> Iterator[tuple[str, Any]]:
        for code, argument, _ in pickletools.genops(self.file):
            yield code.name, argument

    def _last(self) -> Any:
        if self._marks and len(self._stack) <= self._marks[-1]:
            raise IndexError("nothing lies above the mark")
        return self._stack.pop()

    def _above_mark(self) -> list[Any]:
        height = self._marks.pop()
        above = self._stack[height:]
        del self._stack[height:]
        return above

    def _global(self, name: str) -> None:
        if name not in GLOBALS:
            raise _Refused(
                f"asks for {_shown(name.replace(' ', '.'))}, which is not a tensor's; nothing was"
                " executed; take weights from a source you trust"
            )
        self._stack.append(_Global(name))

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _remember(self, place: int) -> None:
        value = self._last()
        self._stack.append(value)
        self._memory[place] = value

    def _recall(self, place: int) -> None:
        self._stack.append(self._memory[place])

    def _tuple_above_mark(self, _: Any) -> None:
        self._stack.append(tuple(self._above_mark()))

    def _tuple(self, length: int) -> None:
        self._stack.append(tuple([self._last() for _ in range(length)][::-1]))

    def _append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise ValueError(f"a value is appended to {_shown(target)}")
        target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target, names = self._stack[-1], values[::2]
        if not isinstance(target, dict) or len(values) % 2:
            raise ValueError(f"items are set in {_shown(target)}")
        for name, value in zip(names, values[1::2], strict=True):
            # A tuple could be nested deeply enough for its hash to overflow the stack.
            if type(name) not in (str, int) or name in target:
                raise ValueError(f"{_shown(name)} is not a new name")
            target[name] = value

    def _build(self, _: Any) -> None:
        """Leave out the attributes of a dictionary, such as a state_dict's `_metadata`."""
        self._last()
        if not isinstance(self._stack[-1], dict):
            raise _Refused(f"sets attributes of {_shown(self._stack[-1])}; nothing was executed")

    def _storage(self, _: Any) -> None:
        """Take ('storage', kind, key, device, length, None)."""
        match self._last():
            case ("storage", _Global(name), str(key), str(), int(length), None) if name in DTYPES:
                found = _Storage(key, DTYPES[name], length)
            case other:
                raise _Refused(_damaged(f"{_shown(other)} is not a storage"))
        if not 0 <= length <= self.size // found.dtype.itemsize:
            raise _Refused(_damaged(f"a storage of {_shown(length)} values is larger than it"))
        if self.storages.setdefault(key, found) != found:
            raise _Refused(_damaged("two storages have one name"))
        self._stack.append(found)

    def _reduce(self, _: Any) -> None:
        """Call what is allowed: an empty dictionary, a tensor, a parameter."""
        arguments, called = self._last(), self._last()
        match called, arguments:
            case _Global(name), () if name == ORDERED_DICT:
                self._stack.append({})
            case _Global(name), (_Tensor(), bool(), dict()) if name == PARAMETER:
                self._stack.append(arguments[0])
            case (
                _Global(name),
                (_Storage(), int(), tuple(), tuple(), bool(), dict(), *_),
            ) if name == TENSOR:
                self._stack.append(_tensor(*arguments[:4]))
            case _:
                raise _Refused(f"calls {_shown(called)} otherwise than a tensor does")


def _tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple) -> _Tensor:
    """Return the tensor if all of it lies in its storage, and it is no larger than that."""
    numbers = (offset, *shape, *strides)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise _Refused(_damaged("a tensor's shape is not one of whole numbers"))
    if len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
        raise _Refused(_damaged(f"a tensor has {len(shape)} dimensions, {len(strides)} strides"))
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if prod(shape) > storage.length or (prod(shape) and last >= storage.length):
        raise _Refused(_damaged("a tensor is larger than its storage"))
    if offset > storage.length or any(n > storage.length for n in (*shape, *strides)):
        raise _Refused(_damaged("a tensor lies outside its storage"))
    return _Tensor(storage, offset, shape, strides)


_LITERALS = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "NONE"}
)
_EMPTY: Mapping[str, Callable[[], Any]] = {
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, version: None,
    "GLOBAL": _Machine._global,
    "MARK": _Machine._mark,
    "BINPUT": _Machine._remember,
    "LONG_BINPUT": _Machine._remember,
    "BINGET": _Machine._recall,
    "LONG_BINGET": _Machine._recall,
    "TUPLE": _Machine._tuple_above_mark,
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "APPEND": lambda machine, _: machine._append([machine._last()]),
    "APPENDS": lambda machine, _: machine._append(machine._above_mark()),
    "SETITEM": lambda machine, _: machine._set_items([machine._last(), machine._last()][::-1]),
    "SETITEMS": lambda machine, _: machine._set_items(machine._above_mark()),
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._storage,
    "REDUCE": _Machine._reduce,
}


def _damaged(why: str) -> str:
    return f"is damaged or not whole ({why}); fetch it again"


def _shown(value: Any) -> str:
    """Return what a value is, in a few printable characters; nested ones by their kind alone."""
    if isinstance(value, _Global):
        value = value.name.replace(" ", ".")
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if value is None or isinstance(value, str | int | float):
        text = ascii(value)
        return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return f"a {type(value).__name__.strip('_').lower()}"
