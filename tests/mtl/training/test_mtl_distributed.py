"""Several processes and devices train as one does: plainly, through Ray, after losses."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import small_network
from small_network import FatedBody, small_run

from mtl.runtime.files import InputError
from mtl.training import distribution, ray_workers
from mtl.training.run_folder import read_log

SETTINGS = {"epochs": 3, "flip": True, "ema": 0.5, "accumulate": 1}
READ_PER_EPOCH = 6  # images, by each of two processes: three batches of four


@pytest.fixture(scope="module")
def alone(scored, tmp_path_factory):
    """The run of one process with one device."""
    assert jax.device_count() == 1
    return small_run(scored, tmp_path_factory.mktemp("alone") / "run", **SETTINGS)


@pytest.fixture
def environment():
    return os.environ | {
        "PYTHONPATH": str(Path(small_network.__file__).parent),
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def start(data, out, environment, **settings) -> subprocess.Popen:
    program = [sys.executable, small_network.__file__, data, out, json.dumps(SETTINGS | settings)]
    return subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)


def start_two(data, out, environment, **settings) -> list[subprocess.Popen]:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    joined = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        distribution.ADDRESS: f"localhost:{port}",
        distribution.COUNT: "2",
    }
    return [
        start(data, out, environment | joined | {distribution.INDEX: str(k)}, distributed=True,
              **settings)
        for k in range(2)
    ]  # fmt: skip


def assert_equal_to_float32(one, out) -> None:
    """The same losses, and the same kept weights, but for the order of sums."""
    log = read_log(out)
    for a, b in zip(one.log, log, strict=True):
        for name in ("train_loss", "validation_loss"):
            assert a[name] == pytest.approx(b[name], rel=2e-5), name
    with np.load(one.model / "weights.npz") as a, np.load(out / "model" / "weights.npz") as b:
        for name in a.files:
            np.testing.assert_allclose(a[name], b[name], atol=2e-5, err_msg=name)


def test_four_devices_and_two_processes_are_like_one(scored, tmp_path, environment, alone):
    mark = tmp_path / "mark"
    fated = environment | {
        small_network.SIGNAL: str(int(signal.SIGTERM)),
        # In the second epoch, after the images that validation reads.
        small_network.AFTER: str(READ_PER_EPOCH + 4 + 1),
        small_network.MARK: str(mark),
    }
    four = start(
        scored,
        tmp_path / "four",
        environment | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
    )
    two = start_two(scored, tmp_path / "two", fated)
    # One of the two processes is told to stop; both save the same step.
    for process in two:
        _, errors = process.communicate(timeout=300)
        assert "KeyboardInterrupt: stopped; step" in errors, errors
    assert mark.read_text() == str(two[1].pid)
    rows = read_log(tmp_path / "two")
    assert 1 <= len(rows) < 3
    two = start_two(scored, tmp_path / "two", fated)
    for process in [four, *two]:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert read_log(tmp_path / "two")[: len(rows)] == rows
    assert_equal_to_float32(alone, tmp_path / "four")
    assert_equal_to_float32(alone, tmp_path / "two")


def test_ray_starts_again_after_a_worker_was_killed(
    scored, tmp_path, monkeypatch, environment, alone
):
    mark = tmp_path / "mark"
    for name, value in {
        "PYTHONPATH": environment["PYTHONPATH"],
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
        small_network.SIGNAL: str(int(signal.SIGKILL)),
        small_network.AFTER: str(2 * (READ_PER_EPOCH + 4) + 1),
        small_network.MARK: str(mark),
    }.items():
        monkeypatch.setenv(name, value)
    run = small_run(
        scored, tmp_path / "run", FatedBody, num_workers=2, checkpoint_every=2, **SETTINGS
    )
    assert mark.exists() and run.resumed_at == 0
    assert_equal_to_float32(alone, run.out)
    assert not (run.out / "ray").exists()
    # All done: no worker is needed to say so.
    again = small_run(scored, run.out, FatedBody, num_workers=2, **SETTINGS)
    assert again.resumed_at == 3 and again.log == run.log


def test_a_share_of_the_cluster():
    share = ray_workers._share
    assert share({"CPU": 8.0, "GPU": 4.0}, 2) == {"CPU": 4, "GPU": 2}
    assert share({"CPU": 5.0, "memory": 1e9}, 2) == {"CPU": 2}
    with pytest.raises(InputError, match=r"--num-workers 3: .* 8 CPUs and 2 GPUs"):
        share({"CPU": 8.0, "GPU": 2.0}, 3)


def test_processes_that_nobody_numbered_are_told_how(scored, tmp_path, environment):
    process = start(scored, tmp_path / "run", environment, distributed=True)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1 and "found neither SLURM nor Open MPI" in errors
    assert not (tmp_path / "run").exists()


def test_what_the_first_process_cannot_do_is_raised():
    def fail():
        raise InputError("no")

    assert distribution.on_first_process(lambda: 3) == 3
    with pytest.raises(InputError, match="no"):
        distribution.on_first_process(fail)
