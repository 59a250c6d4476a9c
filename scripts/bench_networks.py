"""Parameters, memory and speed of every network, of a forward pass and of a training step.

The forward pass is the one that `deepfl extract` runs: MLSP features of a picture, whose size is
512×384 if not given. The training step is the one that `deepfl train` runs, with the heads of all
full-reference metrics, at the crop of results/train_speed.csv. All networks see the same sizes, so
that rows compare, whatever their papers' crops are. Weights are random.

Each pass runs in a process of its own: one call, which compiles, then those that are timed. `ms` is
the median of these, for a whole batch. `mib` is the most memory that they took beyond what lay in
memory before: program, weights and, in training, the optimiser's state. `process_mib` is the most
that the process took in all, compilation and libraries included. Needs an otherwise idle machine.

Examples:
    python -m scripts.bench_networks
    python -m scripts.bench_networks --network resnet50 --passes forward --size 768 1024
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import numpy as np

from deepfl.command_line import parse, run_script
from fr_metrics import METRICS
from mlsp.features.extraction import extractor
from mtl.curation.pristine import SIZE
from mtl.network.model import Functional, ModelConfig, functional_model
from mtl.network.networks import NETWORKS
from mtl.network.weights import TrainedModel, fresh_weights
from mtl.runtime.files import InputError
from mtl.runtime.progress import say, stage
from mtl.training.batches import Batch
from mtl.training.distribution import Placement
from mtl.training.settings import RunSettings, chosen_network
from scripts.peak_memory import Work, peak_bytes
from scripts.provenance import provenance
from scripts.published_rows import published, replace_rows
from scripts.training_step import TrainingStep

Pass = Literal["forward", "training"]
Result = TypeVar("Result")
PASSES: tuple[Pass, ...] = ("forward", "training")

FEWEST_CALLS = 5  # whose median says something
MIB = 2**20

KEY = ("device", "threads", "network", "share", "pass", "height", "width", "batch")
# In the order of the table.
COLUMNS = (
    *("device", "threads", "network", "share", "parameters", "features", "mlsp", "pass"),
    *("height", "width", "batch", "ms", "images_per_s", "mib", "process_mib", "compile_s"),
    *("calls", "load"),
)
ORIGIN = ("hardware", "versions")
PACKAGES = ("jax", "flax", "optax", "numpy")


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    out: Path = Path("results/networks.csv")
    """CSV file; a row of the same device, network, pass and size is replaced."""
    network: tuple[str, ...] = ()
    """Networks, such as resnet50; all when not given, and any wrong name lists them."""
    width: float = 1.0
    """Share of the channels that every layer has, as `deepfl train` takes it."""
    passes: tuple[Pass, ...] = PASSES
    """Which passes."""
    size: tuple[int, int] = SIZE
    """Height and width of the pictures of a forward pass."""
    crop: tuple[int, int] = (320, 448)
    """Height and width of the images of a training step."""
    batch_size: int = 2
    """Images of a training step; a forward pass has one picture."""
    calls: int = FEWEST_CALLS
    """Calls that are timed."""
    resume: bool = False
    """Leave rows as they are that these versions measured on this machine."""


@dataclass(frozen=True)
class Task:
    """One pass of one network."""

    network: str
    share: float
    name: Pass
    size: tuple[int, int]
    batch: int
    calls: int


def body_sizes(name: str, share: float = 1.0) -> dict[str, int]:
    """Return a network's parameters, features and MLSP numbers, counted in its layout.

    Args:
        name: of the network.
        share: of its channels.

    Returns:
        `parameters`: of the body, the running statistics left out, `features`: of the last layer,
        `mlsp`: of all blocks together.
    """
    functional = functional_model(ModelConfig((), width=share, network=name))
    shapes = (functional.shapes[name] for name in functional.parameter_names)
    side = NETWORKS[name].smallest_side
    images = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
    weights = {n: jax.ShapeDtypeStruct(s, np.float32) for n, s in functional.shapes.items()}

    def described(weights, images):
        return functional.model(weights).body(images)

    features, blocks = jax.eval_shape(described, weights, images)
    return {
        "parameters": sum(int(np.prod(shape)) for shape in shapes),
        "features": features.shape[-1],
        "mlsp": sum(block.shape[-1] for block in blocks.values()),
    }


def measured(task: Task) -> dict[str, Any]:
    """Return the columns that one pass of a network has, in a process that runs nothing else."""
    jax.config.update("jax_enable_compilation_cache", False)
    call = {"forward": _forward, "training": _training}[task.name](task)
    began = time.perf_counter()
    call()
    first = time.perf_counter() - began
    work = Work()
    seconds = []
    for _ in range(task.calls):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    taken, median = work.bytes(), statistics.median(seconds)
    return {
        **body_sizes(task.network, task.share),
        "ms": round(1000 * median, 1),
        "images_per_s": round(task.batch / median, 2),
        "mib": "" if taken is None else round(taken / MIB),
        "process_mib": round(peak_bytes() / MIB),
        "compile_s": round(first - median, 1),
        "calls": task.calls,
        "load": round(os.getloadavg()[0], 1),
    }


def _forward(task: Task) -> Callable[[], object]:
    """Return what computes the features of random pictures."""
    config = ModelConfig((), width=task.share, network=task.network)
    functional = functional_model(config)
    run = extractor(TrainedModel(Path(), config, functional, fresh_weights(functional, 0), None))
    images = _images(task)
    return lambda: np.asarray(run(images, None))


def _training(task: Task) -> Callable[[], None]:
    """Return what takes a training step with random images and targets; the first compiles it."""
    metrics = tuple(METRICS)
    config = ModelConfig(metrics, width=task.share, network=task.network)
    functional: Functional = functional_model(config)
    settings = RunSettings(Path(), epochs=1, batch_size=task.batch, learning_rate=1e-4)
    step = TrainingStep(settings, functional, task.size, Placement())
    step.begin()
    targets = np.random.default_rng(1).random((task.batch, len(metrics)), np.float32)
    batch = Batch(_images(task), targets, task.batch)

    def call() -> None:
        if step.program is None:
            step.compiled()
        step(batch)
        jax.block_until_ready(step.state)

    return call


def _images(task: Task) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (task.batch, *task.size, 3), np.uint8)


def in_own_process(work: Callable[..., Result], *given: Any) -> Result:
    """Call a function in a fresh process, so that this one never touches the device.

    Raises:
        InputError: the process was ended, as it is where memory does not suffice.
    """
    # Not forked: memory of this process would count as the other's, and JAX has threads.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *given).result()
        except BrokenProcessPool as error:
            raise InputError(
                "the measuring process was ended, probably for want of memory; use a smaller"
                " --batch-size, --size or --crop"
            ) from error


def device_kind() -> str:
    """Return what JAX calls the device."""
    return jax.devices()[0].device_kind


def tasks_of(config: BenchConfig) -> list[Task]:
    """Return what is to be measured, in order.

    Raises:
        InputError: a setting cannot work, or there is no such network.
    """
    if config.calls < FEWEST_CALLS or config.batch_size < 1:
        raise InputError(
            f"--calls must be at least {FEWEST_CALLS}, and --batch-size must be positive"
        )
    tasks = []
    for name in config.network or NETWORKS:
        side = chosen_network(name, config.width).smallest_side
        for one in config.passes:
            size, batch = (config.size, 1) if one == "forward" else (config.crop, config.batch_size)
            if min(size) < side:
                option = "size" if one == "forward" else "crop"
                raise InputError(f"--{option}: {name} needs at least {side} pixels a side")
            tasks.append(Task(name, config.width, one, size, batch, config.calls))
    return tasks


def main(arguments: Sequence[str]) -> None:
    """Measure, and write the table row by row."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_networks",
        description=__doc__ or "",
    )
    tasks = tasks_of(config)
    origin = provenance(PACKAGES)
    device = in_own_process(device_kind)
    for task in tasks:
        which = (device, len(os.sched_getaffinity(0)), task.network, task.share, task.name)
        key = dict(zip(KEY, (*which, *task.size, task.batch), strict=True))
        if config.resume and _is_there(config.out, {**key, **{n: origin[n] for n in ORIGIN}}):
            say(f"{task.network}, {task.name}: is there")
            continue
        with stage(f"{task.network}, {task.name}"):
            row = {**dict.fromkeys(COLUMNS, ""), **key, **in_own_process(measured, task)}
        replace_rows(config.out, KEY, [row | origin])
        say(f"{row['ms']} ms, {row['mib']} MiB of {row['process_mib']}")
    say(f"{config.out}: {len(tasks)} rows")


def _is_there(path: Path, wanted: dict[str, Any]) -> bool:
    rows = published(path, tuple(wanted))
    return any(all(row[name] == str(value) for name, value in wanted.items()) for row in rows)


if __name__ == "__main__":
    run_script(main, "bench_networks")
