"""Several devices, and several processes, that train as one.

Every process joins the others, sees the devices of all, and runs the same program. A cluster's
launcher or `mtl.training.ray_workers` starts the processes. All of them have to see the run's
folder.
"""

import os
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mtl.runtime.files import InputError

Result = TypeVar("Result")

AXIS = "data"  # of the mesh

# What a launcher that JAX does not know has to set, in each process.
ADDRESS, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


class Placement:
    """Where state and batches live: all devices of all processes in one row.

    Args:
        devices: in an order in which those of a process are neighbours.
    """

    def __init__(self, devices: list[jax.Device] | None = None):
        devices = jax.devices() if devices is None else devices
        mesh = Mesh(np.array(devices), (AXIS,))
        self.devices = len(devices)
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self.split = NamedSharding(mesh, PartitionSpec(AXIS))
        self._ours = [k for k, d in enumerate(devices) if d.process_index == jax.process_index()]

    def rows(self, batch_size: int) -> range:
        """Return the rows of a batch that this process has to provide.

        Raises:
            InputError: the devices cannot share a batch evenly.
        """
        each, rest = divmod(batch_size, self.devices)
        if rest:
            raise InputError(
                f"--batch-size {batch_size}: cannot be shared by {self.devices} devices; use"
                f" {max(1, each) * self.devices} or {(each + 1) * self.devices}"
            )
        return range(self._ours[0] * each, (self._ours[-1] + 1) * each)

    def shared(self, rows: np.ndarray) -> jax.Array:
        """Place this process's rows as its part of one array over all devices."""
        return jax.make_array_from_process_local_data(self.split, rows)

    def request(self, number: int) -> jax.Array:
        """Place a request of this process, to be handed to a step."""
        return self.shared(np.full(len(self._ours), number, np.int32))


def join() -> None:
    """Join the processes that a launcher has started and numbered.

    Raises:
        InputError: there is no sign of such a launcher.
    """
    numbered = [name for name in (ADDRESS, COUNT, INDEX) if name in os.environ]
    if len(numbered) == 3:
        initialize(os.environ[ADDRESS], int(os.environ[COUNT]), int(os.environ[INDEX]))
        return
    try:
        initialize(None, None, None)
    except ValueError as error:
        raise InputError(
            "--distributed: found neither SLURM nor Open MPI; start the processes with `srun` or"
            f" `mpirun`, or set {ADDRESS} (HOST:PORT of the first), {COUNT} and {INDEX} in each"
        ) from error


def leads() -> bool:
    """Tell whether this is the first, or the only, of the processes."""
    return jax.process_index() == 0


def on_first_process(action: Callable[[], Result]) -> Result | None:
    """Run `action` on the first process and return its result there; None on the others.

    Raises:
        InputError: on the others too, if the action failed.
    """
    failure, result = None, None
    if leads():
        try:
            result = action()
        except Exception as error:
            failure = error
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        failed = multihost_utils.broadcast_one_to_all(np.array(failure is not None))
        if failed and failure is None:
            raise InputError("the first process could not go on; it says why")
    if failure is not None:
        raise failure
    return result


def initialize(address: str | None, count: int | None, index: int | None) -> None:
    """Join the processes of one run; where nothing is given, JAX finds it in the environment.

    Args:
        address: HOST:PORT of the first process.
        count: number of processes.
        index: number of this one, from 0.

    Raises:
        RuntimeError: other processes than these were joined.
        ValueError: nothing is given, and the environment does not tell.
    """
    # Its handler would take SIGTERM from us; we agree on when to stop by ourselves.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(address, count, index)
    if count is not None and jax.process_count() != count:
        raise RuntimeError(f"joined {jax.process_count()} processes, expected {count}")
