"""A connection to Ray: the one that is there, a cluster's, or one of this machine's own."""

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mtl.runtime.extras import needs

# Pixels never pass through the object store, so Ray's smallest useful one will do.
OBJECT_STORE_BYTES = 100 * 2**20

PATIENCE_SECONDS = 5.0  # for a cluster to answer at all


@contextmanager
def ray_connection(address: str | None, cores: int | None = None) -> Iterator[Any]:
    """Context manager: the module `ray`, connected; a connection from before is left as it was.

    Args:
        address: of a cluster, such as `auto`, HOST:PORT or `ray://HOST:PORT`; None starts Ray here.
        cores: that Ray may use here; all of this process's when not given.

    Raises:
        ConnectionError: there is no cluster at the address.
        InputError: Ray is not installed.
    """
    needs("a connection to Ray", "generate", only=("ray",))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield ray
        return
    if address:
        _knock(address)
        options: dict[str, Any] = {"address": address}
    else:
        options = {
            "address": "local",  # even if another cluster runs on this machine
            "num_cpus": cores or len(os.sched_getaffinity(0)),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    try:
        with warnings.catch_warnings():
            # Ray's processes exec right after the fork, so what JAX warns of cannot happen.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray.init(**options, logging_level="error", log_to_driver=False)
    except ConnectionError as error:
        raise _no_cluster(address, error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Make sure that someone listens at HOST:PORT: Ray itself would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), PATIENCE_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise _no_cluster(address, error) from error


def _no_cluster(address: str | None, error: Exception) -> ConnectionError:
    return ConnectionError(
        f"{address}: no Ray cluster answers there ({error}); start one with `ray start --head`, or"
        " leave --address out to run on this machine"
    )
