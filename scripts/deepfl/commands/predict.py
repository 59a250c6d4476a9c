"""The quality of pictures, without a reference.

Without --model the small one that comes with the program judges: 1 (very annoying) ... 5
(imperceptible), the scale of KADID-10k. With a model of `deepfl benchmark` or `deepfl finetune`
quality is on the scale of its ratings, with a training run alone it is 0..1, the predicted share of
the training images that look worse. Beside it stand the predicted full-reference scores, each on
its own scale.

Pictures that the model was trained on, known by their content, are left out, for what a model says
of them is no prediction; --seen judges them as well.

--explain adds what has most likely been done to each picture: the three likeliest distortions and
levels, `pristine` among them, each with its share of the whole (mlsp/prediction/conditions.py says
how). It needs what `deepfl train` or `deepfl conditions` puts into the model folder.

--json writes one object: format (1), model, scale, explanation (null, or held_out, type_accuracy
and level_accuracy: how often the likeliest condition was right on pictures held out), pictures (a
list of image, quality, scores by name, and with --explain conditions: a list of distortion, level
0..5 and share) and left_out (a list of image and reason). A file's name that is not UTF-8 stands in
the table as its bytes; in JSON each such byte is \\udc80 to \\udcff, as Python reads file names.

Example:
    deepfl predict deepfl-demo/photographs/chelsea.png
    deepfl predict deepfl-demo/photographs/chelsea.png --model deepfl-demo/quality
A folder in, a table out:
    deepfl predict deepfl-demo/photographs --model deepfl-demo/run --out quality.csv
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deepfl.command_line import parse
from mlsp.prediction.conditions import Likely
from mlsp.prediction.leaks import UNRECORDED
from mlsp.prediction.predicting import SeenPicture, predict_files
from mlsp.prediction.predictor import Prediction, Predictor
from mtl.network.weights import INCLUDED
from mtl.runtime.files import InputError, json_text, write_atomically
from mtl.runtime.paths.outputs import check_text_output
from mtl.runtime.pictures import Rejected
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import table_text

JSON_FORMAT = 1
STANDARD_OUTPUT = "-"


@dataclass(frozen=True)
class PredictConfig:
    """What to judge, and by which model."""

    pictures: tuple[Path, ...]
    """Picture files, folders, or CSV files with a column image."""
    model: Path = Path(INCLUDED)
    """Model folder of `deepfl benchmark`, or a run of `deepfl finetune` or `deepfl train`;
    deepfl-small comes with the program."""
    out: Path | None = None
    """CSV file to write; standard output when neither this nor --json is given."""
    json: str | None = None
    """JSON file to write, or - for standard output."""
    explain: bool = False
    """Say what has most likely been done to each picture."""
    seen: bool = False
    """Judge also pictures that the model was trained on; otherwise they are left out."""


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
    _check_outputs(config)
    predictor = Predictor(config.model, explain=config.explain)
    say(f"scale: {predictor.scale}")
    if predictor.unrecorded:
        say(f"{config.model}: {UNRECORDED}")
    if predictor.conditions is not None:
        say(f"explanations: {predictor.conditions.in_words()}")
    printed = config.out is None and config.json is None
    found: list[Prediction] = []
    rejected: list[Rejected] = []
    results = predict_files(
        predictor, config.pictures, seen=config.seen, progress=not printed, tell=say
    )
    for result in results:
        if isinstance(result, Rejected):
            rejected.append(result)
            if not isinstance(result, SeenPicture):
                say(f"left out: {result.reason}")
            continue
        found.append(result)
        if printed:
            likely = [f"{_words(c)} {c.share:.0%}" for c in result.conditions]
            explained = f"\t{', '.join(likely)}" if likely else ""
            print(f"{result.quality:.4f}\t{result.image}{explained}", flush=True)
    seen = [result for result in rejected if isinstance(result, SeenPicture)]
    if seen:
        say(
            f"left out: {len(seen)} pictures that {config.model} was trained on, such as"
            f" {seen[0].file}: what it says of them is no prediction; use another model, or --seen"
        )
    if not found:
        raise InputError(f"none of the {len(rejected)} pictures can be used; see above")
    if config.out is not None:
        write_atomically(config.out, table_text([_row(result) for result in found]))
        say(f"{config.out}: quality and predicted scores of {len(found)} pictures")
    if config.json is not None:
        text = json_text(_described(predictor, found, rejected))
        if config.json == STANDARD_OUTPUT:
            print(text, flush=True)
        else:
            write_atomically(config.json, f"{text}\n")
            say(f"{config.json}: quality and predicted scores of {len(found)} pictures")
    if rejected:
        say(f"{len(rejected)} of {len(found) + len(rejected)} pictures left out")


def _check_outputs(config: PredictConfig) -> None:
    """Refuse files to write that cannot be written, or would replace what is read or each other."""
    table = config.out
    described = None if config.json in (None, STANDARD_OUTPUT) else Path(config.json)
    for path, option in ((table, "--out"), (described, "--json")):
        if path is not None:
            check_text_output(path, config.pictures, option=option)
    if table is not None and described is not None and table.resolve() == described.resolve():
        raise InputError(f"{table}: is both --out and --json; choose another name for one")


def _row(result: Prediction) -> dict[str, Any]:
    """A line of the table."""
    row: dict[str, Any] = {"image": result.image, "quality": result.quality, **result.scores}
    for number, likely in enumerate(result.conditions, 1):
        row[f"distortion_{number}"] = likely.distortion
        row[f"level_{number}"] = likely.level
        row[f"share_{number}"] = likely.share
    return row


def _words(likely: Likely) -> str:
    return likely.distortion + (f" {likely.level}" if likely.level else "")


def _described(
    predictor: Predictor, found: Sequence[Prediction], rejected: Sequence[Rejected]
) -> dict[str, Any]:
    """What --json writes; the text at the top describes it."""
    known = predictor.conditions
    pictures = []
    for result in found:
        picture = asdict(result)
        if known is None:
            del picture["conditions"]
        pictures.append(picture)
    return {
        "format": JSON_FORMAT,
        "model": str(predictor.model.folder),
        "scale": predictor.scale,
        "explanation": None
        if known is None
        else {
            "held_out": known.held_out,
            "type_accuracy": known.type_accuracy,
            "level_accuracy": known.level_accuracy,
        },
        "pictures": pictures,
        "left_out": [{"image": r.file, "reason": r.reason} for r in rejected],
    }
