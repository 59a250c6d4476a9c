"""Images per second of training: the step alone, the loader alone, and both together.

The program that is timed is the one `deepfl train` runs, at the paper's settings but for those
given here. Beside the rates: seconds to build the network, to compile the step with an empty and
with a filled cache, and from the start to the end of the first step; the step's floating-point
operations as XLA counts them before it optimises; and their share of what the devices can do (model
FLOP utilisation), where the peak is known or --peak-tflops tells it. A profile of some steps names
the three largest costs. Needs an otherwise idle machine.

Example for a GPU:
    python -m scripts.bench_train --data kadis --dtype bfloat16 --loader-workers 12 --trace trace
and for two cores, with the data set that `deepfl demo` makes:
    python -m scripts.bench_train --data deepfl-demo/kadis --batch-size 8 --crop 96 96 --steps 5
"""

import itertools
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from deepfl.command_line import parse, run_script
from fr_metrics import HistogramEqualization
from mtl.kadis import EQUALIZATION
from mtl.kadis.manifest import read_manifest
from mtl.network.model import ModelConfig
from mtl.network.networks import DEFAULT
from mtl.runtime.files import InputError
from mtl.runtime.progress import progress_bar, say, stage
from mtl.training.batches import PREFETCHED_BATCHES as READ_AHEAD
from mtl.training.batches import Batch, training_batches
from mtl.training.distribution import Placement
from mtl.training.engine import build_network
from mtl.training.loop import STEPS_AHEAD
from mtl.training.multitask.data import ScoredImages
from mtl.training.settings import RunSettings, check_settings, chosen_network, run_settings
from scripts.provenance import provenance
from scripts.published_rows import replace_rows
from scripts.training_step import TrainingStep

# Peak in TFLOP/s of what JAX calls the device, from the makers' data sheets, without sparsity:
# bfloat16 on the tensor cores; for float32 the TF32 figure, which XLA's convolutions may use.
# A100: NVIDIA A100 Tensor Core GPU data sheet, 2021. H100, SXM and PCIe: NVIDIA H100 data sheet,
# 2023. H200 SXM: NVIDIA H200 data sheet, 2024; it computes as the H100 SXM does.
PEAK_TFLOPS: dict[str, dict[str, float]] = {
    "NVIDIA A100-SXM4-40GB": {"bfloat16": 312.0, "float32": 156.0},
    "NVIDIA A100-SXM4-80GB": {"bfloat16": 312.0, "float32": 156.0},
    "NVIDIA H100 80GB HBM3": {"bfloat16": 989.5, "float32": 494.5},
    "NVIDIA H100 PCIe": {"bfloat16": 756.5, "float32": 378.0},
    "NVIDIA H200": {"bfloat16": 989.5, "float32": 494.5},
}

WARM_UP = 2  # steps that are not counted
TRACED = 3  # steps in the profile
LARGEST = 3  # costs named from it

KEY = (
    *("device", "devices", "network", "share", "dtype"),
    *("batch_size", "height", "width", "remat", "loader_workers"),
)
# Of tables that are older than the choice of a network.
OLDER = {"network": DEFAULT, "share": "1.0"}


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    data: Path
    """Data set that `deepfl generate` wrote."""
    out: Path = Path("results/train_speed.csv")
    """CSV file; a row of the same device and settings is replaced."""
    network: str = DEFAULT
    """Which network to train, such as resnet50; any wrong name lists all."""
    width: float = 1.0
    """Share of the channels that every layer has, as `deepfl train` takes it."""
    batch_size: int = 64
    """Images per step, over all devices."""
    crop: tuple[int, int] | None = None
    """Height and width of random crops; whole images when not given."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions."""
    remat: bool = False
    """Compute activations a second time for the gradient instead of keeping them."""
    loader_workers: int = 0
    """Processes that read and decode images; 0 uses threads."""
    steps: int = 30
    """Steps to time, after a few that are not."""
    peak_tflops: float | None = None
    """Of one device, for utilisation; known for some GPUs."""
    trace: Path | None = None
    """Folder to keep the profile in, for TensorBoard or Perfetto."""


class Bench:
    """The program and the data of one measurement."""

    def __init__(self, config: BenchConfig):
        self.config = config
        network = chosen_network(config.network, config.width)
        self.settings: RunSettings = run_settings(config, epochs=1, learning_rate=1e-4)
        metrics = tuple(read_manifest(config.data)["plan"]["metrics"])
        equalization = HistogramEqualization.from_json((config.data / EQUALIZATION).read_text())
        self.images = ScoredImages(config.data, "train", metrics, equalization)
        number = len(self.images)
        side = network.smallest_side
        check_settings(self.settings, config.data, self.images.size, number, side)
        if config.steps < 1:
            raise InputError("--steps must be positive")
        self.model = ModelConfig(metrics, width=config.width, network=config.network)
        self.size = config.crop or self.images.size
        self.placement = Placement()
        self.rows = self.placement.rows(config.batch_size)

    def batches(self, workers: int) -> Iterator[Batch]:
        """Batches without end."""
        batching = replace(self.settings.batching, workers=workers)
        for epoch in itertools.count():
            yield from training_batches(self.images, batching, epoch, rows=self.rows)

    def measure(self) -> dict[str, Any]:
        """One row of the table, without provenance."""
        began = time.perf_counter()
        row: dict[str, Any] = {}
        with stage("building the network"):
            functional = build_network(self.model, self.settings)
        row["build_s"] = round(time.perf_counter() - began, 1)
        self.step = TrainingStep(self.settings, functional, self.size, self.placement)
        with _empty_cache():
            with stage("compiling the training step"):
                seconds, flops = self.step.compiled()
            row["compile_s"] = round(seconds, 1)
            self.step.begin()
            first = next(self.batches(0))
            self.step(first)
            jax.block_until_ready(self.step.state)
            row["first_step_s"] = round(time.perf_counter() - began, 1)
            with stage("compiling it with a filled cache"):
                row["compile_cached_s"] = round(self.step.compiled()[0], 1)
        workers = self.config.loader_workers
        steps = self.config.steps
        alone = self._rate("step", itertools.repeat(first), self.step, WARM_UP, steps)
        row["images_per_s"] = alone
        # What was read ahead during the warm-up has to be used up before the loader is timed.
        row["loader_images_per_s"] = self._rate(
            "loader",
            self.batches(workers),
            lambda _: None,
            READ_AHEAD * max(1, workers),
            max(steps, 3 * READ_AHEAD * max(1, workers)),
        )
        row["both_images_per_s"] = self._rate(
            "both", self.batches(workers), self.step, WARM_UP, steps
        )
        row["gflop_per_image"] = round(flops / self.config.batch_size / 1e9, 4)
        tflops = flops / self.config.batch_size * alone / 1e12
        row["tflops"] = round(tflops, 3)
        kind = jax.devices()[0].device_kind
        peak = self.config.peak_tflops or PEAK_TFLOPS.get(kind, {}).get(self.config.dtype)
        row["utilisation"] = round(tflops / peak / self.placement.devices, 4) if peak else ""
        row["largest_costs"] = self._profile(first)
        c = self.config
        which = (kind, self.placement.devices, c.network, c.width)
        settings = (*which, c.dtype, c.batch_size, *self.size, c.remat)
        return dict(zip(KEY, (*settings, workers), strict=True)) | row

    def _rate(
        self,
        what: str,
        batches: Iterator[Batch],
        use: Callable[[Batch], jax.Array | None],
        warm_up: int,
        steps: int,
    ) -> float:
        """Images per second after a warm-up; as in training, a few steps run ahead of the loss."""
        under_way = []
        began = time.perf_counter()
        with progress_bar(steps, what, "step", show=True) as bar:
            for number, batch in enumerate(itertools.islice(batches, warm_up + steps)):
                if number == warm_up:
                    jax.block_until_ready(under_way)
                    began = time.perf_counter()
                under_way.append(use(batch))
                if len(under_way) > STEPS_AHEAD:
                    jax.block_until_ready(under_way.pop(0))
                bar.update(number >= warm_up)
            jax.block_until_ready(under_way)
        seconds = time.perf_counter() - began
        return round(steps * self.config.batch_size / seconds, 2)

    def _profile(self, batch: Batch) -> str:
        """Profile some steps; the largest costs in words."""
        keep = self.config.trace
        with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(str(folder)):
                for _ in range(TRACED):
                    self.step(batch)
                jax.block_until_ready(self.step.state)
            costs = operation_costs(Path(folder))
        total = sum(costs.values())
        return "; ".join(f"{name} {cost / total:.0%}" for name, cost in costs.most_common(LARGEST))


def operation_costs(folder: Path) -> Counter[str]:
    """Nanoseconds by kind of operation in the latest profile of a folder.

    Kinds are the compiled program's names without their numbers, such as `convolution` or
    `multiply_reduce_fusion`.
    """
    latest = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    planes = list(jax.profiler.ProfileData.from_file(str(latest)).planes)
    devices = [plane for plane in planes if plane.name.startswith("/device:")]
    costs: Counter[str] = Counter()
    for plane in devices or planes:
        for line in plane.lines:
            for event in line.events:
                operation = dict(event.stats).get("hlo_op")
                if operation is not None:
                    costs[re.sub(r"[.\d]+$", "", str(operation))] += int(event.duration_ns)
    return costs


def main(arguments: Sequence[str]) -> None:
    """Run the benchmark."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_train",
        description=__doc__ or "",
    )
    row = Bench(config).measure() | provenance(["jax", "flax", "optax", "grain", "numpy"])
    row = {name: str(value) for name, value in row.items()}
    for name, value in row.items():
        print(f"{name:20} {value}")
    replace_rows(config.out, KEY, [row], OLDER)
    say(f"{config.out}: written")


@contextmanager
def _empty_cache() -> Iterator[None]:
    """Compiled programs are kept in a folder of their own, which begins empty and goes away."""
    before = jax.config.jax_compilation_cache_dir
    try:
        with tempfile.TemporaryDirectory() as folder:
            jax.config.update("jax_compilation_cache_dir", folder)
            reset_cache()
            yield
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        reset_cache()


if __name__ == "__main__":
    run_script(main, "bench_train")
