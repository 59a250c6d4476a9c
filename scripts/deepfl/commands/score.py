"""Full-reference scores of distorted pictures against their reference.

Two folders are paired by name, without regard to case and suffix. A distorted picture belongs to
the first of these that is a reference: its name before KADID's ending _TT_LL, which `deepfl
distort` writes, or TID2013's _tt_l; its name; its name before another underscore. One that may
belong to two references is refused. Both folders may be one; no file is a version of itself. A CSV
file with the columns reference and distorted says itself what belongs together; its paths start at
its folder.

Examples:
    deepfl distort deepfl-demo/photographs/chelsea.png --type jpeg --level 4 --out jpeg.png
    deepfl score deepfl-demo/photographs/chelsea.png jpeg.png
    deepfl score deepfl-demo/photographs jpegs --out scores.csv
    deepfl score PAIRS.csv --out scores.csv
    deepfl score REFERENCES DISTORTED --against kadis700k_friqa.csv

--against compares with published scores, metric by metric: a CSV file with the columns dist_im and
ref_im, names in the two folders, and one column per metric. Tables may end in .csv, .tsv or .txt.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse
from fr_metrics import METRICS
from mtl.file_tools.score_files import (
    Pair,
    Scored,
    pair_folders,
    read_pairs,
    score_pairs,
)
from mtl.kadis.metric_names import chosen_metrics
from mtl.published.score_tables import agreement, pair_published, read_published
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.paths.outputs import TABLE_SUFFIXES, check_text_output
from mtl.runtime.pictures import Rejected
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import table_text

NAMED = 10  # of the reasons why pictures are left out


@dataclass(frozen=True)
class ScoreConfig:
    """What to compare with what."""

    reference: Path
    """The pristine picture, a folder of them, or a CSV file of pairs."""
    distorted: tuple[Path, ...]
    """Distorted versions of it, one folder of versions, or nothing after a CSV file."""
    metrics: tuple[str, ...] = ()
    """Metrics to compute; all of them when not given."""
    out: Path | None = None
    """CSV file to write; a table on standard output when not given."""
    against: Path | None = None
    """CSV file of published scores to compare with; it says which pictures belong together."""
    sff_matrix: Path | None = None
    """Matrix of features for SFF (.npy, 8 by 192), such as its authors'; our own if not given."""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        ScoreConfig,
        arguments,
        program="deepfl score",
        description=__doc__ or "",
        positional=("reference", "distorted"),
    )
    metrics = chosen_metrics(config.metrics)
    _check_out(config)
    if config.against is not None:
        _compare(config, config.against, metrics)
        return
    lone: list[Rejected] = []
    if config.reference.is_dir():
        if len(config.distorted) != 1:
            raise InputError("a folder of references takes one folder of distorted pictures")
        pairs, lone = pair_folders(config.reference, config.distorted[0], say)
    elif config.reference.suffix.lower() in TABLE_SUFFIXES:
        if config.distorted:
            raise InputError(
                f"{config.reference}: names the distorted pictures itself; give no more"
            )
        pairs = read_pairs(config.reference)
    else:
        for path in (config.reference, *config.distorted):
            if path.is_dir():
                raise InputError(
                    f"{path}: is a folder; beside one picture give the files of its versions,"
                    f" such as {path}/*.png, or give two folders, which are paired by name"
                )
            if not path.is_file():
                raise InputError(f"{path}: no such picture file")
        if not config.distorted:
            raise InputError("no distorted picture given")
        pairs = [Pair(config.reference, config.distorted)]
    _check_out(config, pairs)
    _say_left_out(lone)
    scored, rejected = score_pairs(pairs, metrics, sff_matrix=config.sff_matrix, progress=True)
    _say_left_out(rejected)
    left_out = len(lone) + len(rejected)
    if config.out is not None:
        _write(config.out, scored, left_out)
        return
    arrows = [("↑" if METRICS[m].higher_is_better else "↓") + METRICS[m].title for m in metrics]
    width = max(len(s.distorted.name) for s in scored)
    print(" ".join([" " * width, *(f"{a:>9}" for a in arrows)]))
    for s in scored:
        numbers = (f"{s.scores[m]:9.5f}" for m in metrics)
        print(" ".join([f"{s.distorted.name:<{width}}", *numbers]))
    if left_out:
        say(f"{len(scored)} pictures scored, {left_out} left out")


def _compare(config: ScoreConfig, against: Path, metrics: Sequence[str]) -> None:
    if not config.reference.is_dir() or len(config.distorted) != 1:
        raise InputError("--against takes the folder of references and that of distorted pictures")
    published = read_published(against)
    common = tuple(metric for metric in metrics if metric in published.metrics)
    if not common:
        raise InputError(
            f"{against}: has no column of {', '.join(metrics)}; it has"
            f" {', '.join(published.metrics)}"
        )
    pairs, lone = pair_published(published, config.reference, config.distorted[0])
    _check_out(config, pairs)
    _say_left_out(lone)
    scored, rejected = score_pairs(pairs, common, sff_matrix=config.sff_matrix, progress=True)
    _say_left_out(rejected)
    left_out = len(lone) + len(rejected)
    if config.out is not None:
        _write(config.out, scored, left_out)
    elif left_out:
        say(f"{len(scored)} pictures scored, {left_out} left out")
    agreements = agreement(scored, published, config.distorted[0], common)
    for metric in common:
        if metric not in {row.metric for row in agreements}:
            say(
                f"{against}: holds no finite {metric} of the {len(scored)} pictures that were"
                " scored; there is nothing to compare it with"
            )
    if not agreements:
        return
    print(f"{'metric':<9} {'pictures':>8} {'median':>9} {'largest':>9} {'SROCC':>8}  farthest off")
    for row in agreements:
        print(
            f"{row.metric:<9} {row.pictures:>8} {row.median_difference:9.2g}"
            f" {row.largest_difference:9.2g} {row.srocc:8.5f}  {row.worst}"
        )


def _check_out(config: ScoreConfig, pairs: Sequence[Pair] = ()) -> None:
    """Refuse an --out that cannot be written or would replace what is read."""
    if config.out is None:
        return
    given = (config.reference, *config.distorted, config.against, config.sff_matrix)
    pictures = (file for pair in pairs for file in (pair.reference, *pair.distorted))
    check_text_output(config.out, [*filter(None, given), *pictures])


def _say_left_out(pictures: Sequence[Rejected]) -> None:
    """Report the first reasons why pictures are left out, and how many more there are."""
    reasons = Counter(picture.reason for picture in pictures)
    for reason, number in list(reasons.items())[:NAMED]:
        say(f"left out: {reason}{f' ({number} pictures)' if number > 1 else ''}")
    more = sum(list(reasons.values())[NAMED:])
    if more:
        say(f"left out: {more} more")


def _write(out: Path, scored: Sequence[Scored], left_out: int) -> None:
    rows = [
        {"distorted": str(s.distorted), "reference": str(s.reference), **s.scores} for s in scored
    ]
    write_atomically(out, table_text(rows))
    say(f"{out}: {len(scored)} pictures scored, {left_out} left out")
