"""Generation on clusters: a node that is lost, Ray Client, an address where nobody answers."""

import os
import socket
import subprocess
import sys
import warnings

import pytest

from mtl.kadis.generate import generate
from mtl.runtime.files import InputError


@pytest.fixture
def two_nodes():
    """A local cluster of two nodes with one processor each, and Ray Client's door."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    with warnings.catch_warnings():
        # Ray's processes exec right after the fork, so what JAX warns of cannot happen.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        nodes = Cluster(initialize_head=True, head_node_args=small)
        second = nodes.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    yield nodes, second
    nodes.shutdown()


def test_a_node_removed_during_the_run_is_done_without(undisturbed, disturbed, tmp_path, two_nodes):
    photographs, expected = undisturbed
    nodes, second = two_nodes
    running = disturbed.Running(
        disturbed.config(photographs, tmp_path / "out", address=nodes.address)
    )
    at_work = running.workers_at_work(2)  # one on each node: they have one processor each
    nodes.remove_node(second, allow_graceful=False)
    assert all(file.exists() for file in at_work.values())
    summary = running.result()
    assert (summary.made, summary.resumed) == (3, 0)
    assert disturbed.digests(tmp_path / "out") == expected


def test_ray_client_gives_the_same_bytes_as_a_cluster_s_own_driver(
    undisturbed, disturbed, tmp_path
):
    photographs, expected = undisturbed
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = (
        "import ray, sys, time\n"
        "from ray.util.client.server import server\n"
        "ray.init(address='local', num_cpus=2, include_dashboard=False)\n"
        f"door = server.serve('127.0.0.1', {port})\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
        "door.stop(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
    ) as head:
        assert head.stdout.readline() == "open\n"
        summary = generate(
            disturbed.config(photographs, tmp_path / "out", address=f"ray://127.0.0.1:{port}")
        )
        head.stdin.close()
    assert summary.made == 3 and summary.tally.images == 60
    assert disturbed.digests(tmp_path / "out") == expected


def test_an_address_without_a_cluster_is_said(undisturbed, disturbed, tmp_path):
    photographs, _ = undisturbed
    settings = disturbed.config(photographs, tmp_path / "out", address="127.0.0.1:1")
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1: no Ray cluster answers"):
        generate(settings)
    with pytest.raises(InputError, match="--num-workers 0"):
        generate(disturbed.config(photographs, tmp_path / "none", num_workers=0))
