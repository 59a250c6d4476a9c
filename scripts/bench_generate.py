"""Finished images per second and core: distorted, scored with all metrics, encoded and written.

Type 15 (denoise) is left out: it takes as long as dozens of the others and is timed by
bench_denoiser. Workers are started and the metrics compiled before the clock runs. One worker and
several take turns. Needs an otherwise idle machine, and photographs that are large enough.

Example:
    python -m scripts.bench_generate PHOTOGRAPHS --out results/generate_speed.csv
"""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import cv2
from skimage import data

from deepfl.command_line import parse, run_script
from distortions import DISTORTIONS
from mtl.curation.pristine import SIZE, too_small
from mtl.kadis.generate import generate
from mtl.kadis.making import Tally
from mtl.kadis.plan import GenerateConfig
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import list_pictures, picture_size
from mtl.runtime.progress import say
from mtl.runtime.ray_connection import ray_connection
from mtl.runtime.tables.csv_tables import table_text
from scripts.bench_distortions import DENOISE
from scripts.provenance import provenance

STEPS = ("read", "distort", "score", "encode", "write")
# What the project wants: images per second and core, speed of two workers over one, megabytes.
TARGET_RATE, TARGET_SCALING, TARGET_MEMORY = 8.0, 1.8, 1500.0
WARM_UP = 8  # photographs
LARGE = (8660, 5774)  # width, height: 50 megapixels


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    photographs: Path
    """Folder of photographs; those smaller than 512×384 are not used."""
    out: Path = Path("results/generate_speed.csv")
    """CSV file to write."""
    limit: int = 48
    """Photographs to use, evenly spread over those that there are."""
    rounds: int = 3
    """Times that each number of workers is timed."""


def main(arguments: Sequence[str]) -> None:
    """Run the benchmark."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_generate",
        description=__doc__ or "",
        positional=("photographs",),
    )
    names = [
        name
        for name in list_pictures(config.photographs)
        if too_small(picture_size(config.photographs / name)) is None
    ]
    if len(names) < 2:
        raise InputError(f"{config.photographs}: holds fewer than two photographs of 512×384")
    chosen = names[:: max(1, len(names) // config.limit)][: config.limit]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "photographs").mkdir()
        for number, name in enumerate(chosen):
            suffix = Path(name).suffix
            shutil.copyfile(
                config.photographs / name, folder / "photographs" / f"{number:04d}{suffix}"
            )
        rows = measure(folder, config.rounds)
    one, two = rows[0], rows[1]
    print(
        f"{one['images_per_second_and_core']:.1f} images per second and core (target"
        f" {TARGET_RATE:g}); two workers {two['speed_over_one_worker']:.2f} times as fast as one"
        f" (target {TARGET_SCALING:g}); at most {max(r['worker_peak_mb'] for r in rows):.0f} MB per"
        f" worker (target {TARGET_MEMORY:g})"
    )
    source = provenance(["jax", "numpy", "opencv-python-headless", "ray"])
    write_atomically(config.out, table_text([row | source for row in rows]))
    say(f"{config.out}: written")


def measure(
    folder: Path, rounds: int, size: tuple[int, int] = SIZE, metrics: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Rows: one worker, two workers, the store `recipe`, and a photograph of 50 megapixels.

    Args:
        folder: holds `photographs`; written to.
        rounds: times that one and two workers are timed, taking turns.
        size: height and width of the images.
        metrics: what they are scored with; all when not given.
    """
    types = tuple(str(number) for number in DISTORTIONS if number != DENOISE)
    recipe = GenerateConfig(
        folder / "photographs",
        folder / "out",
        types=types,
        size=size,
        metrics=metrics,
        shards=8,
    )
    warm = folder / "warm"
    warm.mkdir()
    for name in list_pictures(recipe.photos)[:WARM_UP]:
        shutil.copyfile(recipe.photos / name, warm / name)
    one, two = replace(recipe, num_workers=1), replace(recipe, num_workers=2)
    runs: dict[str, list[tuple[float, Tally, float]]] = {}
    for _ in range(rounds):
        for name, config in (("one worker", one), ("two workers", two)):
            runs.setdefault(name, []).append(_timed(config, warm))
    runs["one worker, store recipe"] = [_timed(replace(one, store="recipe"), warm)]
    (folder / "large").mkdir()
    large = cv2.resize(data.astronaut(), LARGE, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "large" / "large.jpg"), large)
    whole = replace(one, photos=folder / "large")
    runs["one worker, one 50-megapixel photograph"] = [_timed(whole, warm)]
    rows = []
    alone = median(seconds for seconds, _, _ in runs["one worker"])
    for name, timed in runs.items():
        seconds = median(s for s, _, _ in timed)
        tally, megabytes = timed[-1][1:]
        workers = 2 if name == "two workers" else 1
        work = {step: sum(tally.seconds.get(step, 0.0) for _, tally, _ in timed) for step in STEPS}
        comparable = tally.images == timed[0][1].images and name in ("one worker", "two workers")
        rows.append(
            {
                "what": name,
                "workers": workers,
                "images": tally.images,
                "rounds": len(timed),
                "seconds": round(seconds, 2),
                "images_per_second_and_core": round(tally.images / seconds / workers, 2),
                "speed_over_one_worker": round(alone / seconds, 2) if comparable else "",
                **{
                    f"{step}_percent": round(100 * work[step] / sum(work.values()), 1)
                    for step in STEPS
                },
                "mb_per_image": round(megabytes / tally.images, 4),
                "worker_peak_mb": round(max(t.peak_memory for _, t, _ in timed) / 1e6),
            }
        )
    return rows


def _timed(config: GenerateConfig, warm: Path) -> tuple[float, Tally, float]:
    """Seconds, tally and megabytes of one generation by workers that have started."""
    with ray_connection(None, config.num_workers):
        # A few photographs first, so that every worker has compiled.
        generate(replace(config, photos=warm))
        shutil.rmtree(config.out)
        began = time.monotonic()
        tally = generate(config).tally
        seconds = time.monotonic() - began
    megabytes = sum(path.stat().st_size for path in config.out.glob("*.array_record*")) / 1e6
    shutil.rmtree(config.out)
    return seconds, tally, megabytes


if __name__ == "__main__":
    run_script(main, "bench_generate")
