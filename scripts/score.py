"""Full-reference scores of distorted pictures against their reference.

Two folders are paired by name: a distorted picture is named like its reference, or
REFERENCE_VERSION.png as `deepfl distort` names them.

Examples:
    deepfl distort deepfl-demo/photographs/chelsea.png --type jpeg --level 4 --out jpeg.png
    deepfl score deepfl-demo/photographs/chelsea.png jpeg.png
    deepfl score deepfl-demo/photographs jpegs --out scores.csv
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fr_metrics import METRICS
from mtl.files import InputError, table_text, write_atomically
from mtl.progress import say
from mtl.score_files import Pair, chosen_metrics, pair_folders, score_pairs
from scripts.command_line import parse


@dataclass(frozen=True)
class ScoreConfig:
    """What to compare with what."""

    reference: Path
    """The pristine picture, or a folder of them."""
    distorted: tuple[Path, ...]
    """Distorted versions of it, or one folder of versions."""
    metrics: tuple[str, ...] = ()
    """Metrics to compute; all of them when not given."""
    out: Path | None = None
    """CSV file to write; a table on standard output when not given."""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        ScoreConfig,
        arguments,
        command="score",
        description=__doc__ or "",
        positional=("reference", "distorted"),
    )
    metrics = chosen_metrics(config.metrics)
    if config.reference.is_dir():
        if len(config.distorted) != 1:
            raise InputError("a folder of references takes one folder of distorted pictures")
        pairs = pair_folders(config.reference, config.distorted[0])
    else:
        for path in (config.reference, *config.distorted):
            if not path.is_file():
                raise InputError(f"{path}: no such picture file")
        if not config.distorted:
            raise InputError("no distorted picture given")
        pairs = [Pair(config.reference, config.distorted)]
    scored, rejected = score_pairs(pairs, metrics, progress=True)
    for picture in rejected:
        say(f"left out: {picture.reason}")
    if config.out is not None:
        rows = [
            {"distorted": str(s.distorted), "reference": str(s.reference), **s.scores}
            for s in scored
        ]
        write_atomically(config.out, table_text(rows))
        say(f"{config.out}: {len(scored)} pictures scored, {len(rejected)} left out")
        return
    arrows = [("↑" if METRICS[m].higher_is_better else "↓") + METRICS[m].title for m in metrics]
    width = max(len(s.distorted.name) for s in scored)
    print(" ".join([" " * width, *(f"{a:>9}" for a in arrows)]))
    for s in scored:
        numbers = (f"{s.scores[m]:9.5f}" for m in metrics)
        print(" ".join([f"{s.distorted.name:<{width}}", *numbers]))
