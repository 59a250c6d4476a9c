"""Old files of PyTorch: what is read, and that nothing hostile is run, allocated or overlooked."""

import copyreg
import os
import pickle
import re
import tracemalloc
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_writer import Parameter, Storage, Tensor, pickled, saved, tensors_of, torch_file

from mtl.network.imports import torch_files
from mtl.network.imports.torch_files import read_torch_file
from mtl.runtime.files import InputError

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn.running_var": np.array([0.5, 2], np.float64),
    "bn.half": np.array([1.5, -2], np.float16),
    "bn.num_batches_tracked": np.array(7),
    "index": np.array([3, 4], np.int32),
}


def read(data: bytes, folder: Path) -> dict[str, np.ndarray]:
    path = folder / "weights.pth"
    path.write_bytes(data)
    return read_torch_file(path)


def refused(data: bytes, folder: Path) -> str:
    """The message, which is one line that names the file."""
    with pytest.raises(InputError) as error:
        read(data, folder)
    said = str(error.value)
    assert said.startswith(f"{folder / 'weights.pth'}: ") and len(said.splitlines()) == 1
    return said.removeprefix(f"{folder / 'weights.pth'}: ")


def test_arrays_of_all_kinds_come_back(tmp_path):
    found = read(saved(ARRAYS), tmp_path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert np.array_equal(found[name], array) and not found[name].flags.writeable


def test_tensors_may_share_a_storage_and_be_views(tmp_path):
    values = np.arange(12, dtype=np.float32)
    storage = Storage("s", values)
    content = OrderedDict(
        turned=Tensor(storage, 0, (4, 3), (1, 4)),
        part=Parameter(Tensor(storage, 2, (2, 2), (6, 1))),
        one=Tensor(storage, 11, (), ()),
        empty=Tensor(storage, 0, (0,), (1,)),
    )
    found = read(torch_file(pickled(content), [storage]), tmp_path)
    assert np.array_equal(found["turned"], values.reshape(3, 4).T)
    assert np.array_equal(found["part"], [[2, 3], [8, 9]])
    assert found["one"] == 11 and found["empty"].shape == (0,)


def test_every_cut_and_every_byte_more_is_refused(tmp_path):
    whole = saved({"w": np.arange(6, dtype=np.float32).reshape(2, 3)})
    for length in range(len(whole)):
        said = refused(whole[:length], tmp_path)
        assert "give a .pth file" in said or "fetch it again" in said
    assert "1 bytes follow its values" in refused(whole + b"\0", tmp_path)


SMALL = saved({"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array([1, 2])})


@settings(max_examples=600)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    damaged = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        kind = data.draw(st.sampled_from(("change", "insert", "delete", "repeat")))
        if kind == "change":
            damaged[place] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            damaged[place:place] = data.draw(st.binary(min_size=1, max_size=5))
        elif kind == "delete":
            del damaged[place : place + data.draw(st.integers(1, 5))]
        else:
            damaged[place:place] = damaged[place : place + 20]
    folder = tmp_path_factory.getbasetemp()
    try:
        found = read(bytes(damaged), folder)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(isinstance(values, np.ndarray) for values in found.values())


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_for_the_object_are_read_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    with suppress(InputError):
        read(torch_file(content, []), folder)


def short(text: bytes) -> bytes:
    """The instruction that puts a text on the stack."""
    return b"X" + len(text).to_bytes(4, "little") + text


def attacks(call: bytes) -> dict[str, bytes]:
    """Pickles that run a command of the shell when they are loaded."""
    argument, quoted = short(call), b"S'" + call + b"'\n"
    system = short(b"os") + short(b"system")
    python = short(b"__import__('os').system('" + call + b"')")
    return {
        "GLOBAL os": b"\x80\x02cos\nsystem\n" + argument + b"\x85R.",
        "GLOBAL posix": b"\x80\x02cposix\nsystem\n" + argument + b"\x85R.",
        "GLOBAL builtins": b"\x80\x02cbuiltins\neval\n" + python + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + system + b"\x93" + argument + b"\x85R.",
        "framed": b"\x80\x04\x95c" + bytes(7) + system + b"\x93" + argument + b"\x85R.",
        "INST": b"(" + quoted + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + quoted + b"o.",
        "in a dictionary": b"\x80\x02}" + short(b"w") + b"cos\nsystem\n" + argument + b"\x85Rs.",
        # Before the end of the pickle, whatever is made of it.
        "thrown away": b"\x80\x02cos\nsystem\n" + argument + b"\x85R0}.",
        "EXT1": b"\x80\x02\x82\xf0" + argument + b"\x85R.",
        "EXT2": b"\x80\x02\x83\xf0\x00" + argument + b"\x85R.",
        "EXT4": b"\x80\x02\x84\xf0\x00\x00\x00" + argument + b"\x85R.",
        "BUILD": (
            b"\x80\x02ccollections\nOrderedDict\n)\x81}(" + short(b"__setstate__")
            + b"cos\nsystem\nub" + argument + b"b."
        ),
    }  # fmt: skip


NAMES = list(attacks(b""))


@pytest.fixture
def extension():
    """Let the number 240 stand for os.system, as a program that loads pickles could."""
    copyreg.add_extension("os", "system", 240)
    yield
    copyreg.remove_extension("os", "system", 240)
    copyreg._extension_cache.pop(240, None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", ["object", "magic", "storages"])
def test_hostile_pickles_run_nothing(name, protocol, extension, tmp_path):
    mark = tmp_path / "mark"
    attack = attacks(f"touch {mark}".encode())[name]
    if protocol == "object":  # once is enough to see that the attack is one
        with suppress(Exception):  # some end badly after they ran
            pickle.loads(attack)
        assert mark.exists()
        mark.unlink()
        said = refused(torch_file(attack, []), tmp_path)
        assert "nothing was executed" in said
    elif protocol == "magic":
        said = refused(attack, tmp_path)
        assert "is not a file of weights" in said
    else:
        whole = torch_file(pickled({}), [])
        said = refused(whole.removesuffix(pickled([])) + attack, tmp_path)
        assert "nothing was executed" in said
    assert not mark.exists()


@pytest.mark.parametrize(
    "target", [b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n"]
)
def test_allowed_names_have_no_attributes(target, tmp_path):
    state = b"}" + short(b"__setstate__") + short(b"x") + b"s"
    said = refused(torch_file(b"\x80\x02" + target + state + b"b.", []), tmp_path)
    assert "sets attributes of" in said
    # Of a dictionary they are left out.
    content = b"\x80\x02ccollections\nOrderedDict\n)R" + state + b"b."
    assert read(torch_file(content, []), tmp_path) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"ccollections\nOrderedDict\n" + short(b"x") + b"\x85R.",  # another argument
        b"ctorch\nFloatStorage\n)R.",  # a storage is no function
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"ctorch._utils\n_rebuild_parameter\n}\x88}\x87R.",
        b"K\x01)R.",
        b"ctorch\nUntypedStorage\n.",
        b"ctorch.storage\n_load_from_bytes\n.",
        b"ccollections\nnamedtuple\n.",
        b"c__main__\nOrderedDict\n.",
        b"ccollections.abc\nOrderedDict\n.",
    ],
)
def test_allowed_names_do_one_thing(content, tmp_path):
    said = refused(torch_file(b"\x80\x02" + content, []), tmp_path)
    assert "executed" in said or "otherwise than a tensor does" in said


STORAGE = Storage("s", np.zeros(6, np.float32))


def one(*arguments: object, storage: Storage = STORAGE) -> bytes:
    return torch_file(pickled({"w": Tensor(storage, *arguments)}), [storage])


@pytest.mark.parametrize(
    "arguments",
    [
        (0, (7,), (1,)),
        (1, (6,), (1,)),
        (-1, (2,), (1,)),
        (0, (2, 3), (4, 1)),
        (0, (3,), (-1,)),
        (5, (3,), (-2,)),
        (0, (1000,), (0,)),  # one value a thousand times
        (0, (10**9, 10**9), (0, 0)),
        (0, (2**70,), (1,)),
        (0, (0, 2**62), (1, 1)),
        (0, (2,), (2**62,)),
        (2**63, (0,), (1,)),
        (0, (2, 3), (3,)),
        (0, (1,) * 40, (1,) * 40),
        (0, (2.0,), (1,)),
        (0, (True,), (1,)),
        (0, ("2",), (1,)),
        (0, (None,), (1,)),
    ],
)
def test_tensors_lie_in_their_storage(arguments, tmp_path):
    assert "a tensor" in refused(one(*arguments), tmp_path)


class Announced(Storage):
    """A storage that announces another length than it has."""

    def __init__(self, length: object):
        super().__init__("s", np.zeros(6, np.float32))
        self.length = length

    def persistent_id(self) -> tuple:
        return (*super().persistent_id()[:4], self.length, None)


@pytest.mark.parametrize("length", [2**31 - 1, 2**40, 2**62, 2**64, 2**2000, -1, "6", 6.0, None])
def test_lengths_are_compared_before_anything_is_allocated(length, tmp_path):
    tracemalloc.start()
    said = refused(one(0, (6,), (1,), storage=Announced(length)), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "storage" in said or "instruction" in said
    assert peak < 2e6


@pytest.mark.parametrize("length", [5, 7])
def test_storages_have_the_length_that_was_announced(length, tmp_path):
    said = refused(one(0, (2,), (1,), storage=Announced(length)), tmp_path)
    assert "another length than was announced" in said


def test_each_storage_is_listed_once(tmp_path):
    tensors, storages = tensors_of(ARRAYS)
    content, keys = pickled(tensors), [storage.key for storage in storages]
    for wrong in (keys[1:], keys + keys[:1], [*keys, "x"], keys[::-1][:0], {}, [1, 2], "01234"):
        assert "list of storages" in refused(torch_file(content, storages, keys=wrong), tmp_path)
    twice = pickled([Tensor(Storage("0", np.zeros(n, np.float32)), 0, (1,), (1,)) for n in (1, 2)])
    assert "two storages have one name" in refused(torch_file(twice, storages[:1]), tmp_path)
    doubled = b"\x80\x02}(" + short(b"w") + b"N" + short(b"w") + b"Nu."
    assert "'w' is not a new name" in refused(torch_file(doubled, []), tmp_path)


class Odd(Storage):
    """A storage with a part of its description replaced."""

    def __init__(self, place: int, value: object):
        super().__init__("s", np.zeros(6, np.float32))
        self.place, self.value = place, value

    def persistent_id(self) -> tuple:
        parts = list(super().persistent_id())
        parts[self.place : self.place + 1] = [] if self.value is ... else [self.value]
        return tuple(parts)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "module"),
        (0, (("x",),)),
        (1, "FloatStorage"),
        (2, 3),
        (3, None),
        (5, ("v", 0, 2)),
        (5, ...),
    ],
)
def test_storages_are_described_in_one_way(place, value, tmp_path):
    assert "is not a storage" in refused(one(0, (6,), (1,), storage=Odd(place, value)), tmp_path)


def test_what_is_no_dictionary_of_tensors_is_refused(tmp_path):
    tensors, storages = tensors_of(ARRAYS)
    for content, problem in (
        ([*tensors.values()], "holds a list, not a dictionary of tensors"),
        (
            {"state_dict": tensors, "epoch": 3},
            r"a dict under 'state_dict', .* state_dict\(\) alone",
        ),
        ({"optimizer": {0: tensors}, "best": 0.5}, "a dict under 'optimizer', not a tensor"),
        ({0: tensors["index"]}, "names a tensor 0;"),
        ({**tensors, "epoch": 3}, "holds 3 under 'epoch', not a tensor"),
        ({**tensors, "name": "x\ny" * 50}, r"holds 'x\\ny.*\.\.\. under 'name'"),
        (None, "holds None, not a dictionary"),
    ):
        assert re.search(problem, refused(torch_file(pickled(content), storages), tmp_path))
    byte = Storage("s", np.zeros(4, np.uint8))
    assert "asks for 'torch.ByteStorage'" in refused(one(0, (4,), (1,), storage=byte), tmp_path)


def test_other_layouts_are_told_apart(tmp_path):
    tensors, storages = tensors_of(ARRAYS)
    content = pickled(tensors)
    assert "_use_new_zipfile_serialization=False" in refused(b"PK\x03\x04" + content, tmp_path)
    for magic in (0, "x", True, 2.0):
        assert "is not a file of weights" in refused(
            torch_file(content, storages, magic=magic), tmp_path
        )
    assert "version 1000 of" in refused(torch_file(content, storages, version=1000), tmp_path)
    for machine in ({"little_endian": False}, {}, [], {"little_endian": 1}):
        said = refused(torch_file(content, storages, machine=machine), tmp_path)
        assert "little-endian machine" in said
    protocol4 = torch_file(pickled(tensors, 4), storages)
    assert "the pickle instruction FRAME" in refused(protocol4, tmp_path)
    for data in (b"", b"\x89HDF\r\n", b"<html>", b"."):
        assert "give a .pth file" in refused(data, tmp_path)
    for path in (tmp_path, tmp_path / "gone.pth", Path(os.devnull)):
        with pytest.raises(InputError, match=r"give a \.pth file"):
            read_torch_file(path)


def test_bombs_are_refused_soon(tmp_path, monkeypatch):
    deep = b"\x80\x02)" + b"\x85" * 100_000
    lists = b"\x80\x02" + b"]" * 60_000 + b"a" * 59_999
    huge = (2**31 - 1).to_bytes(4, "little")
    for content, problem in (
        (deep + b".", "holds a tuple, not a dictionary"),
        (b"\x80\x02}" + deep[2:] + b"Ns.", "a tuple is not a new name"),  # its hash would recurse
        (lists + b".", "holds a list"),
        (b"\x80\x02}r" + huge + b".", None),  # the memory has no length
        (b"\x80\x02\x8b" + huge + b"\xff.", "not whole"),
        (b"\x80\x02X" + huge + b"x.", "not whole"),
        (b"\x80\x04\x8d" + b"\xff" * 8 + b"x.", "not whole"),
        (b"\x80\x05\x96" + b"\xff" * 7 + b"\x7fx.", "not whole"),
        (b"\x80\x04\x95" + b"\xff" * 8 + b"x.", "FRAME"),
        (b"I" + b"9" * 100_000 + b"\n.", "not whole"),
        (b"\x80\x02" + b"N0" * 10, "instruction POP"),
        (b"\x80\x02}(q\x01.", "not whole"),  # nothing above the mark
        (b"\x80\x02h\x05.", "not whole"),
    ):
        tracemalloc.start()
        if problem is None:
            assert read(torch_file(content, []), tmp_path) == {}
        else:
            assert problem in refused(torch_file(content, []), tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1e8
    monkeypatch.setattr(torch_files, "MOST_INSTRUCTIONS", 1000)
    assert "more than 1000 instructions" in refused(torch_file(lists, []), tmp_path)
    monkeypatch.setattr(torch_files, "MOST_BYTES", 100)
    assert "is larger than 100 bytes" in refused(SMALL, tmp_path)


def test_large_files_are_not_read_in_vain(tmp_path):
    path = tmp_path / "weights.pth"
    for begins, size, problem in (
        (b"", 2**40, "is not a file of weights that PyTorch wrote"),
        (pickled(torch_files.MAGIC), 2**40, "is larger than"),
        (pickled(torch_files.MAGIC), torch_files.MOST_BYTES, "is damaged"),
    ):
        path.write_bytes(begins)
        os.truncate(path, size)  # a hole, which takes no room
        tracemalloc.start()
        with pytest.raises(InputError, match=problem):
            read_torch_file(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1e6
