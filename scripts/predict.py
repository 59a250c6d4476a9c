"""The quality of pictures, without a reference.

With a model of `deepfl benchmark` or `deepfl finetune`, quality is on the scale of its ratings.
With a training run alone it is 0..1, the predicted share of the training images that look worse.

Example:
    deepfl predict deepfl-demo/photographs/chelsea.png --model deepfl-demo/quality
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlsp.predict import Predictor, predict_files
from mtl.files import InputError, table_text, write_atomically
from mtl.pictures import Rejected
from mtl.progress import say
from scripts.command_line import parse


@dataclass(frozen=True)
class PredictConfig:
    """What to judge, and by which model."""

    pictures: tuple[Path, ...]
    """Picture files or folders."""
    model: Path
    """Model folder of `deepfl benchmark`, or a run of `deepfl finetune` or `deepfl train`."""
    out: Path | None = None
    """CSV file to write; standard output when not given."""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        PredictConfig,
        arguments,
        program="deepfl predict",
        description=__doc__ or "",
        positional=("pictures",),
    )
    if not config.pictures:
        raise InputError("no picture given; name files or folders")
    for path in config.pictures:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    predictor = Predictor(config.model)
    say(f"scale: {predictor.scale}")
    rows, rejected = [], []
    for result in predict_files(predictor, config.pictures):
        if isinstance(result, Rejected):
            rejected.append(result)
            say(f"left out: {result.reason}")
            continue
        rows.append({"image": result.image, "quality": result.quality, **result.scores})
        if config.out is None:
            print(f"{result.quality:.4f}\t{result.image}", flush=True)
    if not rows:
        raise InputError(f"none of the {len(rejected)} pictures can be used; see above")
    if config.out is not None:
        write_atomically(config.out, table_text(rows))
        say(f"{config.out}: quality and predicted scores of {len(rows)} pictures")
    if rejected:
        say(f"{len(rejected)} of {len(rows) + len(rejected)} pictures left out")
