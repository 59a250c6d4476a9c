"""Milliseconds per picture of MLSP features, against the same network in PyTorch.

Both compute the averages of the 43 activations in float32 from the same weights and pixels, with
the same number of threads, in turns, since other work on the machine slows both down; the largest
difference of their results is written beside the medians. PyTorch, with pictures channels last,
which is faster on CPUs, or first, whichever is the faster of the two, lives in an environment of
its own:
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
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from deepfl.command_line import parse, run_script
from mlsp.features.extraction import extractor
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import DEFAULT
from mtl.network.scalings import SCALINGS
from mtl.network.weights import TrainedModel, fresh_weights, load_model
from mtl.runtime.files import InputError, write_arrays, write_atomically
from mtl.runtime.progress import progress_bar, say, stage
from mtl.runtime.tables.csv_tables import table_text
from scripts.provenance import provenance

PROGRAM = Path(__file__).with_name("torch_inception.py")
SCALING = "minus_one_to_one"


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    torch: Path
    """Python of an environment with torch and numpy."""
    out: Path = Path("results/extract_speed.csv")
    """CSV file to write."""
    sizes: tuple[tuple[int, int], ...] = ((384, 512), (768, 1024))
    """Heights and widths of the pictures."""
    batches: tuple[int, ...] = (1, 8)
    """Pictures per pass."""
    rounds: int = 5
    """Passes of each that are timed, after one that is not."""
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
    theirs: Torch,
    size: tuple[int, int],
    batch: int,
    rounds: int,
    folder: Path,
) -> dict[str, Any]:
    """One row: medians of milliseconds per picture, their ratio, the results' difference."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, *size, 3), np.uint8)
    np.save(folder / "images.npy", SCALINGS[SCALING](images))
    with stage(f"{size[1]}×{size[0]}, batch {batch}: compiling and comparing"):
        found = np.asarray(ours(images, None))
        # A batch whose pictures are smaller than their canvas by a row, as most are.
        smaller = np.full((batch, 2), (size[0] - 1, size[1]), np.int32)
        np.asarray(ours(images, smaller))
        theirs.ask({"images": str(folder / "images.npy"), "features": str(folder / "f.npy")})
        expected = np.load(folder / "f.npy", allow_pickle=False)
    times: dict[str, list[float]] = {"ours": [], "mixed": [], "first": [], "last": []}
    with progress_bar(rounds, "rounds", "round", show=True) as bar:
        for _ in range(rounds):
            times["ours"].append(seconds_of(lambda: np.asarray(ours(images, None))))
            times["mixed"].append(seconds_of(lambda: np.asarray(ours(images, smaller))))
            for layout in ("first", "last"):
                times[layout].append(theirs.ask({"time": layout})["seconds"])
            bar.update()
    each = {name: 1000 * statistics.median(values) / batch for name, values in times.items()}
    best = min(each["first"], each["last"])
    return {
        "width": size[1],
        "height": size[0],
        "batch": batch,
        "ours_ms": round(each["ours"], 1),
        "ours_mixed_sizes_ms": round(each["mixed"], 1),
        "torch_ms": round(best, 1),
        "torch_layout": "channels first" if best == each["first"] else "channels last",
        "ratio": round(each["ours"] / best, 3),
        "ratio_mixed_sizes": round(each["mixed"] / best, 3),
        "largest_difference": f"{np.abs(found - expected).max():.2e}",
        "largest_feature": f"{np.abs(expected).max():.2e}",
        "rounds": rounds,
    }


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
    if config.model is not None:
        model = load_model(config.model)
        if (model.config.network, model.config.scaling) != (DEFAULT, SCALING):
            raise InputError(
                f"{config.model}: is {model.config.row.title} with pixels {model.config.scaling};"
                f" PyTorch's is InceptionResNetV2 with {SCALING}"
            )
    else:
        settings = ModelConfig((), SCALING)
        functional = functional_model(settings)
        weights = fresh_weights(functional, 0)
        model = TrainedModel(Path(), settings, functional, weights, None)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        body = {name: w for name, w in model.weights.items() if name.startswith("body/")}
        write_arrays(folder / "weights.npz", body)
        rows = []
        with closing(Torch(config.torch, folder / "weights.npz", threads)) as theirs:
            run = extractor(model)
            source = provenance(["jax", "numpy"])
            source["versions"] += f"; torch {theirs.version}"
            device = {"device": jax.default_backend(), "threads": threads}
            for size, batch in itertools.product(config.sizes, config.batches):
                row = measure(run, theirs, size, batch, config.rounds, folder)
                rows.append({**device, **row, "load": round(os.getloadavg()[0], 1), **source})
                write_atomically(config.out, table_text(rows))
                say(
                    f"{row['width']}×{row['height']}, batch {batch}: {row['ours_ms']} ms, PyTorch"
                    f" {row['torch_ms']} ms, ratio {row['ratio']}, with sizes"
                    f" {row['ratio_mixed_sizes']}"
                )
    say(f"{config.out}: {len(rows)} rows")


if __name__ == "__main__":
    run_script(main, "bench_extract")
