"""Data sets that end with nothing, or are continued after somebody touched them."""

from types import SimpleNamespace

import numpy as np
import pytest

from mtl.kadis import MANIFEST
from mtl.kadis.generate import Finished, finish, finished_shards
from mtl.kadis.photographs import SOURCE
from mtl.kadis.shards import Shard, ShardWriter, finish_shard, record_file, stats_path
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import Rejected


@pytest.mark.parametrize("linked", [False, True])
def test_a_data_set_of_nothing_takes_no_file_of_the_user_along(tmp_path, linked):
    out, real = tmp_path / "out", tmp_path / "real"
    real.mkdir()
    out.symlink_to(real)
    shard = Shard(0, "train", record_file("train", 0, 1), ("a.png",))
    planned = SimpleNamespace(
        metrics=("gmsd",), shards=(shard,), rejected=(Rejected("a.png", "is damaged"),)
    )
    files = [MANIFEST, SOURCE, shard.file, str(stats_path(out, shard).relative_to(out))]
    for name in files:
        write_atomically(out / name, "ours")
    if not linked:
        write_atomically(out / "notes.txt", "mine")
    with pytest.raises(InputError, match=r"could be decoded; the first, a\.png: is damaged"):
        finish(
            out,
            planned,
            [Finished(0, 0, (), {"gmsd": np.zeros(0)})],
            source=tmp_path,
            description="",
            license="",
        )
    assert [path.name for path in real.iterdir()] == ([] if linked else ["notes.txt"])


def test_a_shard_whose_bytes_changed_is_not_continued(tmp_path):
    shards = tuple(Shard(k, "train", record_file("train", k, 3), ("a.png",)) for k in range(3))
    planned = SimpleNamespace(metrics=("gmsd",), shards=shards, rejected=())
    for shard in shards[:2]:
        (tmp_path / shard.file).write_bytes(b"records")
        finish_shard(tmp_path, shard, [{"scores": {"gmsd": 0.5}}], [])
    assert [*finished_shards(tmp_path, planned, 1, progress=False)] == [0, 1]
    (tmp_path / shards[1].file).write_bytes(b"recordz")  # as many bytes
    with pytest.raises(InputError, match=r"00001-of-00003: was changed since.*00001\.json and"):
        finished_shards(tmp_path, planned, 1, progress=False)
    stats_path(tmp_path, shards[1]).unlink()  # as the message says
    assert [*finished_shards(tmp_path, planned, 1, progress=False)] == [0]


def test_what_a_dead_worker_left_is_removed_and_nothing_else(tmp_path):
    shard = Shard(0, "train", record_file("train", 0, 1), ("a.png",))
    for middle in ("77", "mine", "7.mine"):
        (tmp_path / f".{shard.file}.{middle}.tmp").write_bytes(b"half")
    with ShardWriter(tmp_path, shard) as writer:
        writer.write(b"record")
    left = {f".{shard.file}.{middle}.tmp" for middle in ("mine", "7.mine")}
    assert {path.name for path in tmp_path.iterdir()} == {shard.file, *left}
