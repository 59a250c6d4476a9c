"""The denoiser of distortion 15 beside others, on photographs it was not trained on.

Grey photographs with Gaussian noise that is not clipped, one thread. Non-local means
(scikit-image) and, where the package `bm3d` is installed, BM3D are told the noise level; ours is
not. DnCNN's published figures are for 68 pictures of the Berkeley data set that not everybody has:
its lead over BM3D there, added to BM3D's figure here, is what it would reach on these photographs.

Example:
    python -m scripts.bench_denoiser PHOTOS --pattern "bsds_*" --out results/denoiser.csv
"""

import fnmatch
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame
from skimage.restoration import denoise_nl_means
from threadpoolctl import threadpool_limits

from deepfl.command_line import parse, run_script
from distortions.denoiser import load_denoiser
from mtl.denoising.denoiser import split_names
from mtl.denoising.denoiser_evaluation import evaluate
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import list_pictures
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import table_text
from scripts.provenance import provenance

SIGMAS = (15.0, 25.0, 50.0)  # grey levels; those of the published figures

# PSNR in dB on BSD68 at 15, 25 and 50: Zhang et al., doi:10.1109/TIP.2017.2662206, table II.
PUBLISHED_BM3D = (31.07, 28.57, 25.62)
PUBLISHED_BLIND_DNCNN = (31.61, 29.16, 26.23)

Method = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class BenchConfig:
    """What to measure on what."""

    photographs: Path
    """The folder the denoiser was trained on, or another of the same names: every fifth is used."""
    pattern: str = "*"
    """Which names among those held out, with * and ?."""
    out: Path = Path("results/denoiser.csv")
    """CSV file to write."""
    limit: int = 1000
    """Photographs at most, spread evenly; BM3D takes several seconds for each."""
    seed: int = 0
    """Decides the noise."""


def methods() -> dict[str, Method]:
    """What is installed, by name."""
    found: dict[str, Method] = {
        "this denoiser (blind)": lambda noisy, _: noisy - load_denoiser().noise(noisy),
        "non-local means": _non_local_means,
    }
    if importlib.util.find_spec("bm3d") is not None:
        import bm3d  # type: ignore[import-not-found]

        found["BM3D"] = lambda noisy, sigma: bm3d.bm3d(noisy, sigma / 255)
    return found


def _non_local_means(noisy: np.ndarray, sigma: float) -> np.ndarray:
    # The settings scikit-image's own example recommends for a known noise level.
    return denoise_nl_means(
        noisy, h=0.6 * sigma / 255, sigma=sigma / 255, patch_size=5, patch_distance=6
    )


def measure(
    folder: Path,
    names: Sequence[str],
    chosen: Mapping[str, Method],
    seed: int,
    *,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """A row per method and noise level: method, sigma, photographs, psnr_db, seconds each."""
    table = []
    for method, remove_noise in chosen.items():
        say(f"{method}:", show=progress)
        with threadpool_limits(1):
            rows = evaluate(remove_noise, folder, names, SIGMAS, seed=seed, progress=progress)
        measured = DataFrame(rows, columns=["sigma", "denoised", "seconds"])
        levels = measured.groupby("sigma", sort=False, as_index=False).agg(
            psnr_db=("denoised", "mean"), seconds=("seconds", "median")
        )
        levels.insert(0, "method", method)
        levels.insert(2, "photographs", len(names))
        table += levels.round(2).to_dict("records")
    return table + _expected_of_dncnn(table)


def _expected_of_dncnn(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of blind DnCNN: BM3D's figures here plus its published lead; none without BM3D."""
    return [
        {
            **row,
            "method": "blind DnCNN, expected from its published lead over BM3D",
            "psnr_db": round(row["psnr_db"] + dncnn - bm3d, 2),
            "seconds": "",
        }
        for row, bm3d, dncnn in zip(
            [row for row in table if row["method"] == "BM3D"],
            PUBLISHED_BM3D,
            PUBLISHED_BLIND_DNCNN,
            strict=False,
        )
    ]


def main(arguments: Sequence[str]) -> None:
    """Run the comparison."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_denoiser",
        description=__doc__ or "",
        positional=("photographs",),
    )
    _, held_out = split_names(list_pictures(config.photographs))
    names = fnmatch.filter(held_out, config.pattern)
    if not names:
        raise InputError(f"{config.pattern}: no name of {len(held_out)} held out fits")
    names = [names[int(i)] for i in np.linspace(0, len(names) - 1, min(config.limit, len(names)))]
    rows = measure(config.photographs, names, methods(), config.seed, progress=True)
    for row in rows:
        print(f"{row['method']}, noise {row['sigma']:g}: {row['psnr_db']:.2f} dB")
    source = provenance(["numpy", "scipy", "scikit-image"])
    write_atomically(config.out, table_text([row | source for row in rows]))
    say(f"{config.out}: written")


if __name__ == "__main__":
    run_script(main, "bench_denoiser")
