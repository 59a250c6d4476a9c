"""Full-reference scores of a rated database, which need no training to be compared with.

They are computed once per database and kept in a table that a stopped run continues:

OUT/full_reference.csv   image, made_from, one column per metric (as the metric defines it), reason
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

import fr_metrics
from fr_metrics import METRICS
from mlsp.baselines.picture_tables import PictureTable
from mlsp.databases import Database
from mtl.file_tools.score_files import Pair, score_versions
from mtl.kadis.metric_names import chosen_metrics
from mtl.runtime import compilation_cache, pictures
from mtl.runtime.contents import content_digests, digest_of, program_digest
from mtl.runtime.files import InputError
from mtl.runtime.progress import progress_bar

FULL_REFERENCE_FILE = "full_reference.csv"


def full_reference_scores(
    database: Database, out: Path, *, metrics: Sequence[str] = (), progress: bool = False
) -> dict[str, Float64[np.ndarray, " n"]]:
    """Return the scores of every picture against its reference, by metric; continue what is there.

    A row is made again when its picture or reference has changed.

    Args:
        database: of which at least one picture has a reference file.
        out: folder for `full_reference.csv`.
        metrics: names in `METRICS`; all eleven when none is given.
        progress: report on standard error.

    Returns:
        For each metric one number per picture in the database's order, higher is better: metrics
        that measure a distance (MDSI, GMSD) are negated. NaN where a picture or its reference
        cannot be used; the table has the reason.

    Raises:
        InputError: no picture has a reference, a metric is not known, or `out` holds other scores.
    """
    chosen = chosen_metrics(metrics)
    versions: dict[str, list[int]] = {}
    for row, file in enumerate(database.reference_files):
        if file is not None:
            versions.setdefault(file, []).append(row)
    if not versions:
        raise InputError(
            f"{database.root}: no picture of {database.name} has a pristine reference, which"
            " full-reference scores need; leave them out"
        )
    program = program_digest(fr_metrics, pictures)
    of_references = dict(zip(versions, _contents(database, versions, progress), strict=True))
    made_from = [
        digest_of(program, content, None if file is None else of_references[file])
        for content, file in zip(
            _contents(database, database.names, progress), database.reference_files, strict=True
        )
    ]
    table = PictureTable(out / FULL_REFERENCE_FILE, database.names, chosen, made_from)
    for row in range(len(database)):
        if database.reference_files[row] is None:
            table.skip(row, "has no reference")
    table.tell(progress)
    with (
        table.kept(),
        progress_bar(len(database), "score", "img", show=progress, done=table.number_done) as bar,
    ):
        if table.number_done < len(database):
            compilation_cache.enable()
        for file, rows in versions.items():
            missing = {
                database.root / database.names[row]: row for row in rows if not table.done[row]
            }
            if not missing:
                continue
            pair = Pair(database.root / file, tuple(missing))
            batches = score_versions(pair, [METRICS[name] for name in chosen], width=len(rows))
            for scored, rejected in batches:
                for each in scored:
                    scores = [each.scores[name] for name in chosen]
                    table.write(missing[each.distorted], scores)
                for each in rejected:
                    table.skip(missing[Path(each.file)], each.reason)
                bar.update(len(scored) + len(rejected))
    table.report(progress)
    signs = {name: 1.0 if METRICS[name].higher_is_better else -1.0 for name in chosen}
    return {name: signs[name] * table.values[:, k] for k, name in enumerate(chosen)}


def _contents(database: Database, names: Iterable[str], progress: bool) -> list[str]:
    return content_digests([database.root / name for name in names], progress=progress)
