"""Learning the matrix of `fr_metrics.sff` from photographs, by the procedure of its authors.

Patches of 8x8 RGB pixels at random places, the mean of each over its 192 samples removed; whitening
to the eight directions of most variance (principal components, about zero); independent components
of these by symmetric FastICA with tanh (Chang et al., "Sparse Feature Fidelity for Perceptual Image
Quality Assessment", IEEE Trans. Image Processing 22(10), 2013, doi:10.1109/TIP.2013.2266579).

    OUT/sff_matrix.npy sff_matrix.json

are what `fr_metrics` ships as package data. Signs and order of the rows have no meaning; here the
largest entry of a row is positive and the rows become shorter from top to bottom.

Six of the rows are edges and hardly depend on the photographs. The other two are flat colours: how
they divide the plane of colour differences is decided by the most saturated photographs, however
few, so pictures that were selected for their colours (or for one kind of texture) are best left out
of a folder of natural ones. The seed matters less, the start of the iteration not at all.

Example, a minute on one core:
    python -m scripts.learn_sff --photographs PHOTOS --out sff
"""

import importlib.metadata
import io
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float64
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from deepfl.command_line import parse, run_script
from fr_metrics.sff import FEATURES, SAMPLES, SIDE, load_matrix, sff
from mtl.evaluation.correlation import srocc
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import list_pictures, read_picture
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import read_table

MATRIX_FILE, RECORD_FILE = "sff_matrix.npy", "sff_matrix.json"
# Change of direction of a row, 1 - |cosine|, below which the iteration has converged.
TOLERANCE = 8e-8
MAX_ITERATIONS = 5000
# Variance of the last direction kept, over that of the first; less is no variance.
LEAST_VARIANCE = 1e-9


@dataclass(frozen=True)
class LearnSffConfig:
    """One learned matrix."""

    photographs: Path
    """Folder of natural photographs; every one gives as many patches."""
    out: Path
    """Folder for the matrix and its record."""
    leave_out: tuple[str, ...] = ()
    """Photographs to leave out, by name; * stands for any characters."""
    patches: int = 18_000
    """Patches in total."""
    seed: int = 0
    """Decides the places of the patches and the start of the iteration."""
    against: Path | None = None
    """Another matrix (.npy), such as the authors', to compare the scores with on --pairs."""
    pairs: Path | None = None
    """Table of pairs (.csv, columns ref and dist) beside its pictures, images/NAME.png."""


def learn_sff(config: LearnSffConfig, *, progress: bool = False) -> dict[str, Any]:
    """Learn a matrix, write it and its record, and return the record.

    Raises:
        InputError: a folder or file is missing or unsuitable, a setting is out of range, or the
            photographs have too little texture.
    """
    if config.patches < SAMPLES:
        raise InputError(f"--patches {config.patches}: must be at least {SAMPLES}")
    if (config.against is None) != (config.pairs is None):
        raise InputError("--against and --pairs belong together; give both or neither")
    other = None if config.against is None else _read_matrix(config.against)
    found = list_pictures(config.photographs, say if progress else None)
    names = [n for n in found if not any(fnmatchcase(n, each) for each in config.leave_out)]
    if not names:
        raise InputError(f"--leave-out leaves none of the {len(found)} photographs")
    random = np.random.default_rng(config.seed)
    samples = _draw_patches(config, names, random, progress)
    matrix, iterations = learn_matrix(samples, config.seed)
    record: dict[str, Any] = {
        "procedure": "8x8 RGB patches less their means, whitened to 8 principal components,"
        " symmetric FastICA with tanh",
        "photographs": len(names),
        "left_out": list(config.leave_out),
        "patches": config.patches,
        "seed": config.seed,
        "iterations": iterations,
        "tolerance": TOLERANCE,
    }
    if other is not None and config.pairs is not None:
        record["compared_with_the_authors_matrix"] = _compare(matrix, other, config.pairs, progress)
    record["date"] = time.strftime("%Y-%m-%d")
    record["versions"] = {
        name: importlib.metadata.version(name) for name in ("numpy", "scikit-learn")
    }
    file = io.BytesIO()
    np.save(file, matrix, allow_pickle=False)
    write_atomically(config.out / MATRIX_FILE, file.getvalue())
    write_atomically(config.out / RECORD_FILE, json.dumps(record, indent=2) + "\n")
    return record


def learn_matrix(
    patches: Float64[np.ndarray, "n 192"], seed: int
) -> tuple[Float64[np.ndarray, "8 192"], int]:
    """The matrix for patches in 0..255 (one per row), and the number of iterations it took.

    Raises:
        InputError: the patches vary in fewer than eight directions, or there is no convergence.
    """
    centred = patches - patches.mean(axis=1, keepdims=True)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    variances, directions = variances[-FEATURES:], directions[:, -FEATURES:]
    if not variances[0] > LEAST_VARIANCE * variances[-1]:
        raise InputError("the photographs have too little texture; give more and livelier ones")
    whitening = (directions / np.sqrt(variances)).T
    analysis = FastICA(
        algorithm="parallel",
        whiten=False,
        fun="logcosh",  # whose derivative is tanh
        max_iter=MAX_ITERATIONS,
        tol=TOLERANCE,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            analysis.fit(centred @ whitening.T)
        except ConvergenceWarning as error:
            raise InputError(
                f"no convergence in {MAX_ITERATIONS} iterations; give more photographs or patches"
            ) from error
    matrix = analysis.components_ @ whitening
    largest = np.abs(matrix).argmax(axis=1)
    matrix *= np.sign(matrix[np.arange(FEATURES), largest])[:, None]
    return matrix[np.argsort(-np.linalg.norm(matrix, axis=1))], int(analysis.n_iter_)


def _draw_patches(
    config: LearnSffConfig, names: list[str], random: np.random.Generator, progress: bool
) -> Float64[np.ndarray, "n 192"]:
    """Patches at random places, their samples by channel, then column, then row."""
    counts = np.diff(np.linspace(0, config.patches, len(names) + 1).astype(int))
    patches = []
    with progress_bar(len(names), "patches", "photo", show=progress) as bar:
        for name, count in zip(names, counts, strict=True):
            path = config.photographs / name
            image = read_picture(path)
            height, width = image.shape[:2]
            if min(height, width) < SIDE:
                raise InputError(f"{path}: is {width}x{height} pixels; {SIDE}x{SIDE} are needed")
            rows = random.integers(0, height - SIDE + 1, count)
            columns = random.integers(0, width - SIDE + 1, count)
            for row, column in zip(rows, columns, strict=True):
                patch = image[row : row + SIDE, column : column + SIDE]
                patches.append(patch.transpose(2, 1, 0).ravel())
            bar.update()
    return np.array(patches, np.float64)


def _read_matrix(path: Path) -> Float64[np.ndarray, "8 192"]:
    try:
        return load_matrix(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(str(error)) from error


def _compare(
    matrix: Float64[np.ndarray, "8 192"],
    other: Float64[np.ndarray, "8 192"],
    pairs: Path,
    progress: bool,
) -> dict[str, Any]:
    """Rank correlation and largest difference between the scores with two matrices."""
    functions = [jax.jit(partial(sff, matrix=each)) for each in (matrix, other)]
    rows = read_table(pairs, ("ref", "dist"))
    scores = []
    with progress_bar(len(rows), "scores", "pair", show=progress) as bar:
        for row in rows:
            images = [
                read_picture(pairs.parent / "images" / f"{row[role]}.png")[None]
                for role in ("ref", "dist")
            ]
            scores.append([float(function(*images)[0]) for function in functions])
            bar.update()
    ours, theirs = np.array(scores).T
    return {
        "pairs": len(rows),
        "srocc": round(srocc(ours, theirs), 5),
        "largest_difference": round(float(np.abs(ours - theirs).max()), 4),
    }


def main(arguments: Sequence[str]) -> None:
    """Run the learning."""
    config = parse(
        LearnSffConfig,
        arguments,
        program="python -m scripts.learn_sff",
        description=__doc__ or "",
    )
    record = learn_sff(config, progress=True)
    comparison = record.get("compared_with_the_authors_matrix")
    if comparison:
        say(
            f"rank correlation {comparison['srocc']} with the scores of the other matrix over"
            f" {comparison['pairs']} pairs, largest difference {comparison['largest_difference']}"
        )
    say(f"{config.out}: {MATRIX_FILE} and {RECORD_FILE}")


if __name__ == "__main__":
    run_script(main, "learn_sff")
