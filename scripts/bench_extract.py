"""Milliseconds per picture of a network's MLSP features; InceptionResNetV2's also against PyTorch.

Without --torch any network is timed alone:
    python -m scripts.bench_extract --network resnet50

With it, both programs compute the averages of InceptionResNetV2's 43 activations in float32 from
the same weights and pixels, with the same number of threads, in turns, since other work on the
machine slows both down; the largest difference of their results is written beside the medians.
PyTorch, with pictures channels last, which is faster on CPUs, or first, whichever is the faster of
the two, lives in an environment of its own:
    python -m venv torch-env
    torch-env/bin/pip install torch numpy
    python -m scripts.bench_extract --torch torch-env/bin/python
"""

import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from deepfl.command_line import parse, run_script
from mlsp.features.extraction import extractor
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import DEFAULT, find_network
from mtl.network.scalings import SCALINGS
from mtl.network.weights import TrainedModel, fresh_weights, load_model
from mtl.runtime.files import InputError, write_arrays
from mtl.runtime.progress import progress_bar, say, stage
from scripts.provenance import provenance
from scripts.published_rows import replace_rows

PROGRAM = Path(__file__).with_name("torch_inception.py")
IN_TORCH = DEFAULT  # the network that PROGRAM computes, at full width

KEY = ("device", "threads", "network", "share", "width", "height", "batch")
# Of tables that are older than the choice of a network.
OLDER = {"network": DEFAULT, "share": "1.0"}

# Columns of what is measured, in their order; PyTorch's are empty without it, those of several
# sizes where pictures of several sizes cannot share a batch.
MEASURED = (
    *("width", "height", "batch", "ours_ms", "ours_mixed_sizes_ms"),
    *("torch_ms", "torch_layout", "ratio", "ratio_mixed_sizes"),
    *("largest_difference", "largest_feature", "rounds"),
)


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    torch: Path | None = None
    """Python of an environment with torch and numpy, for InceptionResNetV2 only."""
    out: Path = Path("results/extract_speed.csv")
    """CSV file; rows of the same device, network, sizes and batches are replaced."""
    sizes: tuple[tuple[int, int], ...] = ((384, 512), (768, 1024))
    """Heights and widths of the pictures."""
    batches: tuple[int, ...] = (1, 8)
    """Pictures per pass."""
    rounds: int = 5
    """Passes of each that are timed, after one that is not."""
    network: str | None = None
    """Which network, with random weights, such as resnet50; InceptionResNetV2 when not given, and
    any wrong name lists all. A model folder has its own."""
    model: Path | None = None
    """Model folder; random weights when not given."""


class Torch:
    """The network in PyTorch, in a process of its own."""

    def __init__(self, python: Path, weights: Path, threads: int):
        if not python.is_file():
            raise InputError(f"{python}: no such program; see --help for how to get PyTorch")
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [str(python), str(PROGRAM), str(weights), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            self.version = str(self._answer()["torch"])
        except InputError:
            self.close()
            raise

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        """The answer to a task."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise InputError(
                "the process with PyTorch ended; see above, and --help for how to get PyTorch"
            )
        return json.loads(line)


def seconds_of(run: Callable[[], Any]) -> float:
    """Of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def measure(
    ours: Callable[[np.ndarray, np.ndarray | None], Any],
    theirs: Torch | None,
    model: TrainedModel,
    size: tuple[int, int],
    batch: int,
    rounds: int,
    folder: Path,
) -> dict[str, Any]:
    """One row: medians of milliseconds per picture, their ratio, the results' difference."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, *size, 3), np.uint8)
    # A batch whose pictures are smaller than their canvas by a row, as most are.
    smaller = np.full((batch, 2), (size[0] - 1, size[1]), np.int32)
    runs: dict[str, Callable[[], float]] = {}
    runs["ours"] = lambda: seconds_of(lambda: np.asarray(ours(images, None)))
    if model.config.row.shares_canvas:
        runs["mixed"] = lambda: seconds_of(lambda: np.asarray(ours(images, smaller)))
    with stage(f"{size[1]}×{size[0]}, batch {batch}: compiling and comparing"):
        found = np.asarray(ours(images, None))
        for run in runs.values():
            run()
        compared = {}
        if theirs is not None:
            np.save(folder / "images.npy", SCALINGS[model.config.scaling](images))
            theirs.ask({"images": str(folder / "images.npy"), "features": str(folder / "f.npy")})
            expected = np.load(folder / "f.npy", allow_pickle=False)
            compared = {
                "largest_difference": f"{np.abs(found - expected).max():.2e}",
                "largest_feature": f"{np.abs(expected).max():.2e}",
            }
            for layout in ("first", "last"):
                runs[layout] = lambda layout=layout: theirs.ask({"time": layout})["seconds"]
    times: dict[str, list[float]] = {name: [] for name in runs}
    with progress_bar(rounds, "rounds", "round", show=True) as bar:
        for _ in range(rounds):
            for name, run in runs.items():
                times[name].append(run())
            bar.update()
    each = {name: 1000 * statistics.median(values) / batch for name, values in times.items()}
    row: dict[str, Any] = dict.fromkeys(MEASURED, "")
    row |= {"width": size[1], "height": size[0], "batch": batch, "rounds": rounds}
    row["ours_ms"] = round(each["ours"], 1)
    if "mixed" in each:
        row["ours_mixed_sizes_ms"] = round(each["mixed"], 1)
    if theirs is not None:
        best = min(each["first"], each["last"])
        row["torch_ms"] = round(best, 1)
        row["torch_layout"] = "channels first" if best == each["first"] else "channels last"
        row["ratio"] = round(each["ours"] / best, 3)
        row["ratio_mixed_sizes"] = round(each["mixed"] / best, 3)
    return row | compared


def chosen_model(config: BenchConfig) -> TrainedModel:
    """Return the model to time: a folder's, or a network with random weights.

    Raises:
        InputError: there is no such network or folder, both are given, or PyTorch has no such
            network.
    """
    if config.model is not None:
        if config.network is not None:
            raise InputError("--model and --network: give one of them; a model has its network")
        model = load_model(config.model)
    else:
        settings = ModelConfig((), network=find_network(config.network or DEFAULT).name)
        functional = functional_model(settings)
        model = TrainedModel(Path(), settings, functional, fresh_weights(functional, 0), None)
    if config.torch is not None and (model.config.network, model.config.width) != (IN_TORCH, 1):
        raise InputError(
            f"--torch: {PROGRAM.name} computes {find_network(IN_TORCH).title} at full width, not"
            f" {model.config.row.title} at {model.config.width:g}; leave --torch out"
        )
    return model


def main(arguments: Sequence[str]) -> None:
    """Run the benchmark."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_extract",
        description=__doc__ or "",
    )
    if config.rounds < 1 or min(config.batches, default=1) < 1:
        raise InputError("--rounds and --batches must be positive")
    threads = len(os.sched_getaffinity(0))
    model = chosen_model(config)
    side = model.config.row.smallest_side
    if min((min(size) for size in config.sizes), default=side) < side:
        raise InputError(f"--sizes: {model.config.row.title} needs at least {side} pixels a side")
    which = {
        "device": jax.default_backend(),
        "threads": threads,
        "network": model.config.network,
        "share": model.config.width,
    }
    source = provenance(["jax", "numpy"])
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        started: Any = nullcontext()
        if config.torch is not None:
            body = {name: w for name, w in model.weights.items() if name.startswith("body/")}
            write_arrays(folder / "weights.npz", body)
            started = closing(Torch(config.torch, folder / "weights.npz", threads))
        with started as theirs:
            run = extractor(model)
            if theirs is not None:
                source["versions"] += f"; torch {theirs.version}"
            for size, batch in itertools.product(config.sizes, config.batches):
                row = measure(run, theirs, model, size, batch, config.rounds, folder)
                rows.append({**which, **row, "load": round(os.getloadavg()[0], 1), **source})
                replace_rows(config.out, KEY, rows, OLDER)
                say(
                    f"{row['width']}×{row['height']}, batch {batch}:"
                    + "".join(f" {name} {row[name]}" for name in MEASURED if row[name] != "")
                )
    say(f"{config.out}: {len(rows)} rows")


if __name__ == "__main__":
    run_script(main, "bench_extract")
