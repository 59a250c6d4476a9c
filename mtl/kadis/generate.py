"""From a folder of photographs to scored, sharded training data: one Ray task makes one shard.

Everything is planned first, from names and a seed; a task reads photographs, crops, distorts,
scores and writes its shard. The output does not depend on the number of workers, and a run that was
killed continues where it stopped and ends in the same bytes.
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distortions import DISTORTIONS
from fr_metrics import HistogramEqualization
from mtl.kadis import EQUALIZATION, MANIFEST
from mtl.kadis.cluster import make_shards
from mtl.kadis.making import Tally
from mtl.kadis.manifest import claim, manifest_text
from mtl.kadis.origins import DataSetPlan
from mtl.kadis.photographs import SOURCE, note_folder
from mtl.kadis.plan import GenerateConfig, Plan, make_plan
from mtl.kadis.shards import (
    STATS,
    Shard,
    SplitSizes,
    check_shard,
    read_stats,
    stats_path,
    write_dataset_info,
)
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import Rejected
from mtl.runtime.progress import progress_bar
from mtl.runtime.threads import computed


@dataclass(frozen=True)
class Summary:
    """What a finished data set holds."""

    out: Path
    images: Mapping[str, int]
    """Number of images by split."""
    rejected: tuple[Rejected, ...]
    resumed: int
    """Shards that were there already."""
    made: int
    """Shards made by this call."""
    tally: Tally
    """What this call made, and how long the workers took for it."""


@dataclass(frozen=True)
class Finished:
    """What is kept of a finished shard's stats; 700,000 images fit a few dozen megabytes."""

    records: int
    bytes: int
    rejected: tuple[Rejected, ...]
    scores: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, stats: Mapping[str, Any], metrics: Sequence[str], images: int) -> "Finished":
        """From a stats file of a data set with so many images in a record."""
        scores = [record["scores"] for record in stats["records"]]
        return cls(
            len(scores) // images,
            stats["bytes"],
            tuple(Rejected(**one) for one in stats["rejected"]),
            {metric: np.array([s[metric] for s in scores]) for metric in metrics},
        )

    @property
    def images(self) -> int:
        """How many there are."""
        return len(next(iter(self.scores.values())))


def generate(config: GenerateConfig, *, progress: bool = False) -> Summary:
    """Make the data set, or what is missing of it.

    Args:
        config: what to generate.
        progress: report on standard error.

    Raises:
        InputError: bad settings, no usable photograph, or `out` holds another data set.
        OSError: the disk is full, or workers died again and again; finished shards are kept.
    """
    planned = make_plan(config, progress=progress)
    claim(config.out, planned)
    note_folder(config.out, config.photos)
    in_record = planned.images_in_record
    finished = finished_shards(config.out, planned, in_record, progress=progress)
    todo = [shard for shard in planned.shards if shard.index not in finished]
    resumed = len(finished)
    tally = _make(planned, todo, done=len(planned.shards) - len(todo), progress=progress)
    for shard in todo:
        stats = read_stats(config.out, shard)
        if stats is None:
            raise RuntimeError(f"{config.out / shard.file}: its task ended without writing it")
        finished[shard.index] = Finished.of(stats, planned.metrics, in_record)
    ordered = [finished[shard.index] for shard in planned.shards]
    images, rejected = finish(
        config.out,
        planned,
        ordered,
        source=config.photos,
        description=_description(planned),
        license=config.license,
    )
    return Summary(config.out, images, rejected, resumed, len(todo), tally)


def finished_shards(
    out: Path, planned: DataSetPlan, images: int, *, progress: bool
) -> dict[int, Finished]:
    """Return what an earlier call has finished, by the shard's index.

    Args:
        out: the data set.
        planned: what it will hold.
        images: in a record.
        progress: report on standard error.

    Raises:
        InputError: a finished shard was changed or is gone.
    """

    def checked(shard: Shard) -> Finished | None:
        stats = read_stats(out, shard)
        if stats is None:
            return None
        check_shard(out, shard, stats)
        return Finished.of(stats, planned.metrics, images)

    found = computed(checked, planned.shards, "check finished shards", progress=progress)
    return {
        shard.index: one
        for shard, one in zip(planned.shards, found, strict=True)
        if one is not None
    }


def _make(planned: Plan, todo: Sequence[Shard], *, done: int, progress: bool) -> Tally:
    """Make shards, showing how it goes."""
    per_reference = planned.versions_per_reference
    total = Tally()
    if not todo:
        return total
    sizes = {shard.index: per_reference * len(shard.references) for shard in todo}
    everything = per_reference * len(planned.sizes)
    there = everything - sum(sizes.values())
    with progress_bar(everything, "generate", "img", show=progress, done=there) as bar:
        for tallies, failed in make_shards(planned, todo, progress=progress):
            total = Tally()
            for tally in tallies.values():
                total += tally
            settled = total.images + per_reference * total.rejected
            complete = sum(
                tally.images + per_reference * tally.rejected == sizes[index]
                for index, tally in tallies.items()
            )
            parts = [f"{done + complete}/{len(planned.shards)} shards"]
            parts += [f"{total.rejected} left out"] * bool(total.rejected)
            parts += [f"{len(failed)} FAILED"] * bool(failed)
            bar.set_postfix_str(", ".join(parts + slowest_types(total)), refresh=False)
            # A shard that is made again after its worker died counts down.
            bar.update(min(there + settled, everything) - bar.n)
    return total


def slowest_types(tally: Tally) -> list[str]:
    """Seconds per image of the two types that took longest so far, such as "denoise 0.55 s"."""
    mean = {t: seconds / images for t, (images, seconds) in tally.types.items()}
    first = sorted(mean, key=mean.__getitem__, reverse=True)[:2]
    return [f"{DISTORTIONS[t].name} {mean[t]:.2f} s" for t in first]


def finish(
    out: Path,
    planned: DataSetPlan,
    finished: Sequence[Finished],
    *,
    source: Path,
    description: str,
    license: str,
) -> tuple[dict[str, int], tuple[Rejected, ...]]:
    """Fit the equalisation, write the description, declare the data set complete.

    Args:
        out: the data set.
        planned: what it holds.
        finished: its shards, all of them, in order.
        source: what it was made of.
        description: goes into dataset_info.json.
        license: likewise.

    Returns:
        The number of images by split, and what was left out.

    Raises:
        InputError: there is nothing to train on; what was written is removed again.
    """
    rejected = (*planned.rejected, *(one for shard in finished for one in shard.rejected))
    splits: dict[str, list[Finished]] = {}
    for shard, what in zip(planned.shards, finished, strict=True):
        splits.setdefault(shard.split, []).append(what)
    images = {split: sum(one.images for one in parts) for split, parts in splits.items()}
    if not images.get("train"):
        _remove(out, planned.shards)
        first = rejected[0]
        which = "none of its pictures could be decoded"
        if any(images.values()):
            which = "none of its training pictures could be decoded; choose another --seed"
        raise InputError(f"{source}: {which}; the first, {first.file}: {first.reason}")
    equalization = HistogramEqualization.fit(
        {
            metric: np.concatenate([one.scores[metric] for one in splits["train"]])
            for metric in planned.metrics
        }
    )
    write_atomically(out / EQUALIZATION, equalization.to_json())
    write_dataset_info(
        out,
        planned.features,
        {
            split: SplitSizes([one.records for one in parts], sum(one.bytes for one in parts))
            for split, parts in splits.items()
        },
        description=description,
        license=license,
    )
    write_atomically(out / MANIFEST, manifest_text(planned, complete=True, rejected=rejected))
    return images, rejected


def _remove(out: Path, shards: Sequence[Shard]) -> None:
    """Remove an unfinished data set's files, and the folder if it holds nothing else."""
    for shard in shards:
        stats_path(out, shard).unlink(missing_ok=True)
        (out / shard.file).unlink(missing_ok=True)
    for name in (SOURCE, MANIFEST):
        (out / name).unlink(missing_ok=True)
    for folder in (out / STATS, out):
        with suppress(OSError):  # it holds the user's files, or is a link
            folder.rmdir()


def _description(planned: Plan) -> str:
    """What dataset_info.json says of the data set."""
    height, width = planned.size
    number = planned.types_per_reference
    types = ", ".join(DISTORTIONS[t].name for t in planned.types)
    return "\n".join(
        [
            "Artificially distorted photographs with full-reference quality scores.",
            f"Made by: deepfl-iqa {importlib.metadata.version('deepfl-iqa')}",
            f"Recipe: {planned.recipe}, {number} of {len(planned.types)} distortion types per"
            f" photograph, levels {' '.join(map(str, planned.levels))}, seed {planned.seed}",
            f"Types: {types}",
            f"Images: {width}×{height} pixels, store {planned.store}",
            f"Scores: {', '.join(planned.metrics)}",
        ]
    )
