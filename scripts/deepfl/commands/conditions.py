"""Teaches a model to say what has most likely been done to a picture (`deepfl predict --explain`).

Describes some pictures of each distortion and level of a data set, and pristine ones, and keeps
where they lie in feature space in the model folder. `deepfl train` ends with this; here is how to
add it to a model that exists. A stopped run continues with the same command.

Example:
    deepfl conditions deepfl-demo/kadis --model deepfl-demo/run
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse
from mlsp.prediction.condition_training import PICTURES, add_conditions
from mlsp.prediction.conditions import CONDITIONS_FILE
from mtl.network.weights import model_folder
from mtl.runtime.progress import say


@dataclass(frozen=True)
class ConditionsConfig:
    """Which model is taught by which data set."""

    data: Path
    """Data set that `deepfl generate` wrote."""
    model: Path
    """Model folder, or the training run that holds it."""
    pictures: int = PICTURES
    """Pictures of each condition; a quarter as many held-out ones measure the accuracy."""
    photos: Path | None = None
    """Folder of the photographs, for the pristine pictures of a data set that does not store them;
    where they were when it was made if not given."""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        ConditionsConfig,
        arguments,
        program="deepfl conditions",
        description=__doc__ or "",
        positional=("data",),
    )
    folder = model_folder(config.model)
    found = add_conditions(
        folder, config.data, pictures=config.pictures, photos=config.photos, progress=True
    )
    say(f"{folder / CONDITIONS_FILE}: {found.in_words()}")
    say(f"next: deepfl predict PICTURES --model {config.model} --explain")
