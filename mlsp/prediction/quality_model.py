"""A model folder that judges quality: a network, and a regressor on its features."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Float

from mlsp.features.pooling import Kind
from mlsp.regression import Regressor, load_regressor, save_regressor
from mtl.evaluation.seen import SEEN_FILE, SeenRatings, joined, read_seen, write_seen
from mtl.network.weights import MODEL_FILE, WEIGHTS_FILE
from mtl.runtime.files import InputError, file_digest, whole_file, write_atomically

REGRESSOR_FILE, RATINGS_FILE = "regressor.npz", "ratings.json"
PARTS = (".json", ".npz")  # suffixes of files that are part of a model
REMEDY = "copy the whole folder, or run `deepfl benchmark RATINGS.csv --model FOLDER` again"


@dataclass(frozen=True)
class Quality:
    """What a model folder says of human scores."""

    regressor: Regressor
    features: Kind
    """That the regressor takes."""
    ratings: str
    """Where the scores came from, in words."""
    lowest: float
    """Of the scores it learned."""
    highest: float

    @classmethod
    def of(
        cls,
        regressor: Regressor,
        scores: Float[np.ndarray, " n"],
        ratings: str,
        features: Kind = "mlsp",
    ) -> "Quality":
        """Return what there is to say of a regressor and the human scores it was fitted to."""
        return cls(regressor, features, ratings, float(scores.min()), float(scores.max()))


def save_quality_model(
    folder: Path, network: Path, quality: Quality, seen: Sequence[SeenRatings] = ()
) -> None:
    """Write a model folder with a regressor in it: a copy of the network's, self-contained.

    A model that the folder held before is replaced. Until all is written the folder is no model, so
    a stopped call leaves no mixture of two.

    Args:
        folder: to write.
        network: the model folder the features came from.
        quality: the regressor, and what it was fitted to.
        seen: rated pictures that the regressor was fitted to; those of the network are added.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = joined(read_seen(network), seen)
    names = sorted(p.name for p in network.iterdir() if p.is_file() and p.name[0] != ".")
    if folder.resolve() != network.resolve():
        (folder / MODEL_FILE).unlink(missing_ok=True)
        for path in folder.iterdir():
            if path.suffix in PARTS and path.name not in names:
                path.unlink()
    write_seen(folder, every)
    save_regressor(folder / REGRESSOR_FILE, quality.regressor)
    known = {
        "ratings": quality.ratings,
        "lowest": quality.lowest,
        "highest": quality.highest,
        "features": quality.features,
        "weights_sha256": file_digest(network / WEIGHTS_FILE),
    }
    write_atomically(folder / RATINGS_FILE, json.dumps(known, indent=1))
    # model.json, which makes a folder a model, comes last.
    for name in sorted(names, key=lambda n: n == MODEL_FILE):
        if name not in (REGRESSOR_FILE, RATINGS_FILE, SEEN_FILE):
            with (network / name).open("rb") as data, whole_file(folder / name) as file:
                shutil.copyfileobj(data, file)


def load_quality(folder: Path) -> Quality | None:
    """Read what `save_quality_model` wrote; None where a folder holds no regressor.

    Raises:
        InputError: the files are damaged, or were made with other weights than the folder's.
    """
    path = folder / REGRESSOR_FILE
    if not path.is_file():
        return None
    regressor = load_regressor(path)
    path = folder / RATINGS_FILE
    try:
        known = json.loads(path.read_text())
        features = known.get("features", "mlsp")  # models older than the choice have these
        if features not in get_args(Kind):
            raise ValueError(f"unknown features {features!r}")
        # Older models do not say of which network the regressor is.
        if known.get("weights_sha256") not in (None, file_digest(folder / WEIGHTS_FILE)):
            raise InputError(
                f"{folder / REGRESSOR_FILE}: was fitted to features of other weights than the"
                f" folder's; {REMEDY}"
            )
        return Quality(
            regressor,
            features,
            str(known["ratings"]),
            float(known["lowest"]),
            float(known["highest"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is missing or damaged ({error})") from error
