"""The model folder of a body that others trained, whatever file it came from."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mtl.network.model import ModelConfig
from mtl.network.weights import WEIGHTS_FILE, save_model
from mtl.runtime.files import InputError


@dataclass(frozen=True)
class Imported:
    """A model folder that was written."""

    out: Path
    network: str
    """Name of the body's network."""
    source: str
    """What the weights are, in words."""
    scaling: str
    """Name of the pixel scaling, which is in the folder."""
    because: str
    """Why this scaling."""
    left_out: Sequence[str]
    """Layers of the file that are not of the body."""


def check_free(out: Path) -> None:
    """Refuse a folder that holds something; one with weights alone is an interrupted import.

    Raises:
        InputError: it does.
    """
    if out.exists() and (not out.is_dir() or any(p.name != WEIGHTS_FILE for p in out.iterdir())):
        raise InputError(f"{out}: exists; choose another --out")


def sound_values(
    values: np.ndarray, what: str, *, variance: bool = False
) -> Float[np.ndarray, "..."]:
    """Return values of a file as contiguous float32.

    Args:
        values: numbers.
        what: the file, and what of it holds them, for messages.
        variance: whether they are variances.

    Raises:
        InputError: some are not finite, or a variance is negative.
    """
    with np.errstate(over="ignore"):  # becomes infinite, which is refused
        found = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(found).all() or (variance and found.min() < 0):
        raise InputError(
            f"{what} holds values that no training leaves (not finite, or a negative variance);"
            " fetch or train it again"
        )
    return found


def save_imported(
    imported: Imported,
    weights: Mapping[str, np.ndarray],
    origin: Mapping[str, object],
    packages: Sequence[str],
) -> None:
    """Write the model folder, without heads.

    Args:
        imported: what it says of itself.
        weights: by our names.
        origin: what else its notes say of the file.
        packages: distributions that read it, whose versions the notes keep.
    """
    notes = {
        "weights": imported.source,
        **origin,
        "scaling_because": imported.because,
        "left_out": list(imported.left_out),
    }
    versions = {package: importlib.metadata.version(package) for package in packages}
    model = ModelConfig((), imported.scaling, network=imported.network)
    save_model(imported.out, model, weights, None, {"origin": notes, "versions": versions})
