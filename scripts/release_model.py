"""Make a trained model small enough to come with the program: weights in half precision.

Takes network, heads and regressor of a model folder of `deepfl benchmark`, and the conditions that
explain pictures from the run. Says what half precision changes on the pictures of a folder.

Example:
    python -m scripts.release_model benchmark/model --run run --pictures conditions/distorted \
        --ratings "KADID-10k's mean ratings per condition"
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deepfl.command_line import parse, run_script
from mlsp.prediction.conditions import CONDITIONS_FILE, load_conditions, save_conditions
from mlsp.prediction.predicting import predict_files
from mlsp.prediction.predictor import Prediction, Predictor
from mlsp.prediction.quality_model import RATINGS_FILE, REGRESSOR_FILE, load_quality
from mtl.evaluation.correlation import srocc
from mtl.evaluation.seen import read_seen
from mtl.network.weights import INCLUDED, MODEL_FILE, WEIGHTS_FILE, load_model, save_model
from mtl.runtime.files import InputError, file_digest, write_atomically
from mtl.runtime.progress import say
from scripts.report_training import PLACES

LARGEST = 30_000_000  # bytes of all files together


@dataclass(frozen=True)
class ReleaseConfig:
    """Which model, and where it goes."""

    model: Path
    """Model folder with a regressor in it."""
    run: Path
    """Run of `deepfl train` that the network came from, for its conditions."""
    pictures: Path
    """Folder of pictures to compare the two on."""
    ratings: str
    """Where the regressor's human scores come from, in words."""
    out: Path = Path("mtl/data") / INCLUDED
    """Folder to write; its MODEL_CARD.md is left as it is."""


def release(config: ReleaseConfig) -> int:
    """Write the small model; returns the bytes of its files.

    Raises:
        InputError: the folders are not models, or not of one network; a weight does not fit into
            half precision; the result is too large.
    """
    model = load_model(config.model)
    conditions = load_conditions(load_model(config.run).folder)
    if conditions.weights_sha256 != file_digest(model.folder / WEIGHTS_FILE):
        raise InputError(f"{config.run}: is not the run that the network of {config.model} is of")
    if load_quality(model.folder) is None:
        raise InputError(f"{config.model}: has no regressor; give a model of `deepfl benchmark`")
    half = {name: values.astype(np.float16) for name, values in model.weights.items()}
    endless = [name for name, values in half.items() if not np.isfinite(values).all()]
    if endless:
        raise InputError(f"{config.model}: {endless[0]} does not fit into half precision")
    notes = json.loads((model.folder / MODEL_FILE).read_text())["notes"]
    settings = notes.get("training", {})
    notes["training"] = {name: settings[name] for name in settings if name not in PLACES}
    save_model(config.out, model.config, half, model.equalization, notes, read_seen(model.folder))
    shutil.copyfile(model.folder / REGRESSOR_FILE, config.out / REGRESSOR_FILE)
    digest = file_digest(config.out / WEIGHTS_FILE)
    known = json.loads((model.folder / RATINGS_FILE).read_text())
    known |= {"ratings": config.ratings, "weights_sha256": digest}
    write_atomically(config.out / RATINGS_FILE, json.dumps(known, indent=1))
    own = replace(conditions, weights_sha256=digest)
    save_conditions(config.out / CONDITIONS_FILE, own)
    size = sum(path.stat().st_size for path in config.out.iterdir() if path.is_file())
    if size > LARGEST:
        raise InputError(f"{config.out}: has {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}")
    return size


def compare(full: Path, small: Path, pictures: Path) -> None:
    """Say how the two models differ on the pictures of a folder."""
    found = [
        [
            each
            for each in predict_files(Predictor(folder), [pictures], progress=True)
            if isinstance(each, Prediction)
        ]
        for folder in (full, small)
    ]
    quality = [np.array([each.quality for each in said]) for said in found]
    say(
        f"quality: differs by at most {np.abs(quality[0] - quality[1]).max():.4f}, SROCC of the two"
        f" {srocc(*quality):.6f}"
    )
    for metric in found[0][0].scores:
        scores = [np.array([each.scores[metric] for each in said]) for said in found]
        say(f"{metric}: at most {np.abs(scores[0] - scores[1]).max():.4f}, {srocc(*scores):.6f}")


def main(arguments: Sequence[str]) -> None:
    """Write the model, and say what was lost."""
    config = parse(
        ReleaseConfig,
        arguments,
        program="python -m scripts.release_model",
        description=__doc__ or "",
        positional=("model",),
    )
    size = release(config)
    say(f"{config.out}: {size / 1e6:.1f} MB")
    compare(config.model, config.out, config.pictures)


if __name__ == "__main__":
    run_script(main, "release_model")
