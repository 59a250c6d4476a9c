"""Start several processes that train as one through Ray, and start them again after a loss."""

import logging
import os
import shutil
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mtl.runtime.files import InputError
from mtl.runtime.ray_connection import ray_connection
from mtl.runtime.stopping import signals_call
from mtl.training.distribution import initialize, leads

Result = TypeVar("Result")

# Times the workers are started again after one was lost, each time from the latest checkpoint.
RESTARTS = 3


def run_workers(
    work: Callable[[], Result],
    number: int,
    *,
    address: str | None,
    scratch: Path,
    stop: Callable[[], None],
) -> Result:
    """Run `work` in so many processes through Ray Train, and return what the first one returned.

    A lost worker ends the others, and all are started again. GPUs and cores of the cluster are
    divided evenly. What the first worker writes to its standard error appears on ours.

    Args:
        work: runs in every worker after the processes have joined.
        number: of workers.
        address: of a Ray cluster; None starts Ray here.
        scratch: folder for Ray Train's own notes, shared by all nodes; gone afterwards.
        stop: called at the first SIGINT or SIGTERM.

    Raises:
        ConnectionError: there is no cluster at the address.
        InputError: the cluster is too small.
        RuntimeError: workers failed more often than they are started again.
    """
    output = scratch.resolve() / "output"
    with ray_connection(address) as ray:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

        share = _share(ray.cluster_resources(), number)
        trainer = DataParallelTrainer(
            partial(_heard, work, output),
            backend_config=_backend(),
            scaling_config=ScalingConfig(num_workers=number, resources_per_worker=share),
            run_config=RunConfig(
                name="train",
                storage_path=os.fspath(output.parent),
                failure_config=FailureConfig(max_failures=RESTARTS),
                worker_runtime_env={"env_vars": _environment(share)},
            ),
        )
        results: list[Result] = []
        failures: list[Exception] = []

        def fit() -> None:
            try:
                results.append(trainer.fit().return_value)
            except Exception as error:
                failures.append(error)

        # In the main thread Ray Train would answer an interrupt by killing the workers.
        thread = threading.Thread(target=fit, daemon=True)
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.touch()
            with warnings.catch_warnings(), signals_call(stop), output.open(newline="") as heard:
                # Ray Train copies settings of Ray Data, also those that Ray Data gives up.
                warnings.filterwarnings("ignore", category=DeprecationWarning)
                thread.start()
                while thread.is_alive():
                    thread.join(0.2)
                    sys.stderr.write(heard.read())
                    sys.stderr.flush()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    if failures:
        raise RuntimeError(f"the workers failed: {failures[0]}") from failures[0]
    return results[0]


def _share(resources: dict[str, float], number: int) -> dict[str, float]:
    """Return a worker's part of the cluster: whole cores, and whole GPUs if there are any."""
    share = {"CPU": resources.get("CPU", 0) // number}
    if resources.get("GPU"):
        share["GPU"] = resources["GPU"] // number
    if min(share.values()) < 1:
        has = " and ".join(f"{resources.get(kind, 0):g} {kind}s" for kind in share)
        raise InputError(f"--num-workers {number}: each needs one of the cluster's {has}")
    return share


def _environment(share: dict[str, float]) -> dict[str, str]:
    """Return what a worker has to know before it starts."""
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", "GRPC_VERBOSITY": "ERROR"}
    if "GPU" not in share:
        environment |= {"JAX_PLATFORMS": "cpu", "NPROC": str(int(share["CPU"]))}  # XLA's threads
    return environment


def _heard(work: Callable[[], Result], output: Path) -> Result:
    """Run `work` in a worker; the first one's standard error goes where we read it."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports what concerns developers
    if not leads():
        return work()
    with output.open("a", buffering=1) as file, redirect_stderr(file):
        return work()


def _backend() -> Any:
    """Return Ray Train's hook that joins the workers.

    Its own for JAX does nothing without GPUs: the workers would each train a copy.
    """
    from ray.train.backend import Backend, BackendConfig

    class Joined(Backend):
        def on_start(self, worker_group, backend_config):
            import ray

            coordinator = worker_group.execute_single(0, _free_address)
            count = len(worker_group)
            ray.get(
                [
                    worker_group.execute_single_async(k, initialize, coordinator, count, k)
                    for k in range(count)
                ]
            )

    class JoinedConfig(BackendConfig):
        @property
        def backend_cls(self):
            return Joined

    return JoinedConfig()


def _free_address() -> str:
    import ray

    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{probe.getsockname()[1]}"
