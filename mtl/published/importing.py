"""A data set of somebody else's: published scores and the pictures that were scored.

The table is KADIS-700k's `kadis700k_friqa.csv` or one like it (`mtl.published.score_tables`);
distortion and level come from the pictures' names (`mtl.kadis.names`). Pixels are those of the
files and scores those of the table: nothing is distorted or scored again. A record's seed is 0, for
it is not known. All pictures have one size, that of most references; others are left out, as are
those that are missing or damaged and those whose score is no finite float32, each with its reason.

What `mtl.kadis.generate` says of shards holds here too: the same files and settings give the same
bytes with any number of threads, and a run that was killed continues where it stopped.
"""

import importlib.metadata
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_datasets.core.features import FeaturesDict
from tqdm import tqdm

from distortions import DISTORTIONS
from mtl.kadis.generate import Finished, finish, finished_shards
from mtl.kadis.manifest import claim
from mtl.kadis.photographs import check_unchanged, note_folder
from mtl.kadis.records import encoded_image
from mtl.kadis.shards import Shard, ShardWriter, finish_shard, read_stats
from mtl.published.import_plan import ImportConfig, ImportPlan, Picture, other_size, plan_import
from mtl.runtime.files import InputError
from mtl.runtime.pictures import Rejected, encode_png, read_picture
from mtl.runtime.progress import progress_bar
from mtl.runtime.threads import in_order


@dataclass(frozen=True)
class Imported:
    """What a finished data set holds."""

    out: Path
    images: Mapping[str, int]
    """Number of images by split."""
    metrics: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    """Rows of the table that were left out."""
    resumed: int
    """Shards that were there already."""
    made: int
    """Shards made by this call."""


def import_published(config: ImportConfig, *, progress: bool = False) -> Imported:
    """Make the data set, or what is missing of it.

    Raises:
        InputError: bad settings, a table that cannot be used, no usable picture, or `out` holds
            another data set.
        OSError: a shard cannot be written; finished shards are kept.
    """
    planned = plan_import(config, progress=progress)
    claim(config.out, planned)
    note_folder(config.out, config.references)
    done = finished_shards(config.out, planned, 1, progress=progress)
    there = sum(_number(planned, s) for s in planned.shards if s.index in done)
    total = sum(map(len, planned.pictures.values()))
    with progress_bar(total, "import", "img", show=progress, done=there) as bar:
        for shard in planned.shards:
            if shard.index not in done:
                _make_shard(planned, shard, bar)
    images, rejected = finish(
        config.out,
        planned,
        [done[s.index] if s.index in done else _finished(planned, s) for s in planned.shards],
        source=config.distorted,
        description=_description(planned),
        license=config.license,
    )
    made = len(planned.shards) - len(done)
    return Imported(config.out, images, planned.metrics, rejected, len(done), made)


def _number(planned: ImportPlan, shard: Shard) -> int:
    return sum(len(planned.pictures[reference]) for reference in shard.references)


def _make_shard(planned: ImportPlan, shard: Shard, bar: tqdm) -> None:
    """Write one shard and declare it done."""
    config = planned.config
    pictures = [(name, one) for name in shard.references for one in planned.pictures[name]]
    records: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    work = partial(_encoded, planned, planned.features)
    with (
        ShardWriter(config.out, shard) as writer,
        closing(in_order(work, pictures, config.num_workers)) as encoded,
    ):
        for (reference, picture), record in zip(pictures, encoded, strict=True):
            if isinstance(record, Rejected):
                rejected.append(record)
            else:
                writer.write(record)
                scores = {m: float(s) for m, s in _scores(planned, picture).items()}
                version = asdict(picture.entry.version)
                records.append({"reference": reference, **version, "scores": scores})
            bar.update()
    finish_shard(config.out, shard, records, [asdict(one) for one in rejected])


def _encoded(
    planned: ImportPlan, features: FeaturesDict, named: tuple[str, Picture]
) -> bytes | Rejected:
    """The record of one picture."""
    reference, picture = named
    path = planned.config.distorted / picture.file
    try:
        check_unchanged(path, picture.content)
        image = read_picture(path)
    except InputError as error:
        return Rejected.of(picture.entry.name, path, error)
    if image.shape[:2] != planned.size:
        return Rejected(picture.entry.name, other_size(image.shape[:2], planned.size))
    scores = _scores(planned, picture)
    return encoded_image(encode_png(image), reference, picture.entry.version, scores, features)


def _scores(planned: ImportPlan, picture: Picture) -> dict[str, np.float32]:
    return dict(zip(planned.metrics, planned.scores[picture.entry.scores], strict=True))


def _finished(planned: ImportPlan, shard: Shard) -> Finished:
    """What a finished shard's stats say."""
    stats = read_stats(planned.config.out, shard)
    if stats is None:
        raise RuntimeError(f"{planned.config.out / shard.file}: its stats file is gone")
    return Finished.of(stats, planned.metrics, 1)


def _description(planned: ImportPlan) -> str:
    """What dataset_info.json says of the data set."""
    height, width = planned.size
    return "\n".join(
        [
            "Artificially distorted photographs with published full-reference quality scores.",
            f"Imported by: deepfl-iqa {importlib.metadata.version('deepfl-iqa')}",
            f"SHA-256 of the table of scores: {planned.table}",
            f"Types: {', '.join(DISTORTIONS[t].name for t in planned.types)}",
            f"Images: {width}×{height} pixels, store pixels; their seeds are not known",
            f"Scores: {', '.join(planned.metrics)}",
        ]
    )
