"""MLSP features, 16,928 numbers per picture, at the pictures' own sizes.

Takes a folder, a CSV file with an `image` column, a data set of `deepfl generate`, or one picture.
Writes features.npy (float16) and index.csv; pictures that cannot be used are in skipped.csv. A
stopped run continues with the same command.

Example:
    deepfl extract deepfl-demo/photographs --model deepfl-demo/run --out features
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlsp.extract import extract_to
from mlsp.sources import open_source
from mtl.progress import say
from mtl.weights import load_model
from scripts.command_line import parse


@dataclass(frozen=True)
class ExtractConfig:
    """What to describe, and with which network."""

    pictures: Path
    """Folder, CSV file, data set or picture."""
    model: Path
    """Model folder, or the training run that holds it."""
    out: Path
    """Folder for the features; an unfinished one is continued."""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        ExtractConfig,
        arguments,
        program="deepfl extract",
        description=__doc__ or "",
        positional=("pictures",),
    )
    source = open_source(config.pictures)
    found = extract_to(load_model(config.model), source, config.out, progress=True)
    for name, reason in found.skipped.items():
        say(f"left out: {name}: {reason}")
    say(f"{config.out}: features of {len(found.names)} pictures; {len(found.skipped)} left out")
