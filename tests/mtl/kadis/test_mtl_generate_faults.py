"""Generation when workers and disks fail: nothing lost or double, the right message."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mtl.kadis import cluster
from mtl.kadis.generate import generate
from mtl.kadis.shards import Shard, ShardWriter

pytestmark = pytest.mark.usefixtures("local_ray")


def test_a_worker_killed_in_mid_shard_is_replaced(undisturbed, disturbed, tmp_path):
    photographs, expected = undisturbed
    running = disturbed.Running(disturbed.config(photographs, tmp_path / "out"))
    (pid, file), *_ = running.workers_at_work(1).items()
    os.kill(pid, signal.SIGKILL)
    assert file.exists()  # the shard was not finished
    summary = running.result()
    assert (summary.made, summary.resumed) == (3, 0)
    assert disturbed.digests(tmp_path / "out") == expected


def test_a_worker_that_dies_again_and_again_fails_its_shard_alone(
    undisturbed, disturbed, tmp_path, monkeypatch
):
    photographs, expected = undisturbed
    monkeypatch.setattr(cluster, "RETRIES", 0)
    running = disturbed.Running(disturbed.config(photographs, tmp_path / "out"))
    (pid, file), *_ = running.workers_at_work(1).items()
    os.kill(pid, signal.SIGKILL)
    shard = file.name.split(".")[1] + "." + file.name.split(".")[2]
    with pytest.raises(OSError, match=rf"1 shards are missing, first {shard}: its worker died 1"):
        running.result()
    assert len(list((tmp_path / "out" / "stats").iterdir())) == 2  # the others were made
    monkeypatch.undo()
    summary = generate(disturbed.config(photographs, tmp_path / "out"))
    assert (summary.made, summary.resumed) == (1, 2)
    assert disturbed.digests(tmp_path / "out") == expected


def mounted(folder: Path, size: str) -> bool:
    """Mount a small disk in memory at `folder`, or resize it."""
    folder.mkdir(exist_ok=True)
    options = f"size={size}" + (",remount" if os.path.ismount(folder) else "")
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_full_disk_stops_the_run_and_room_continues_it(undisturbed, disturbed, tmp_path):
    photographs, expected = undisturbed
    disk = tmp_path / "disk"
    if not mounted(disk, "2m"):
        pytest.skip("mounting a small disk needs the administrator's rights")
    try:
        with pytest.raises(OSError, match=r"disk is full .*make room and run the same command"):
            generate(disturbed.config(photographs, disk / "out", num_workers=1))
        assert not list((disk / "out").glob(".*.tmp"))
        assert mounted(disk, "100m")
        generate(disturbed.config(photographs, disk / "out"))
        assert disturbed.digests(disk / "out") == expected
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    shard = Shard(0, "train", "kadis-train.array_record-00000-of-00001", ("a",))
    program = (
        "import os, resource, signal, sys; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from mtl.kadis.shards import Shard, ShardWriter\n"
        f"try:\n  with ShardWriter(Path({str(tmp_path)!r}), {shard!r}) as writer:\n"
        "    for _ in range(10): writer.write(os.urandom(50_000))\n"
        "except OSError as error:\n  print(error); sys.exit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert f"{tmp_path / shard.file}: could not be written" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_mistake_while_writing_leaves_nothing(tmp_path):
    shard = Shard(0, "train", "kadis-train.array_record-00000-of-00001", ("a",))
    with pytest.raises(ZeroDivisionError), ShardWriter(tmp_path, shard) as writer:
        writer.write(b"one")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
