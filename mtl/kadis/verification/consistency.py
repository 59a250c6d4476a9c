"""What must hold between the files of a data set: plan, folder, split, description, targets."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import tensorflow_datasets as tfds

from fr_metrics import HistogramEqualization
from mtl.kadis import EQUALIZATION, MANIFEST
from mtl.kadis.manifest import ANOTHER
from mtl.kadis.origins import DataSetPlan
from mtl.kadis.photographs import SOURCE
from mtl.kadis.recipes import validation_references
from mtl.kadis.records import name_of
from mtl.kadis.shards import NAME, SPLITS, STATS, record_file, stats_path
from mtl.kadis.verification.findings import Check, Problem, listed, run_again
from mtl.kadis.verification.inspection import Fault, Inspected

INFO = ("dataset_info.json", "features.json")
TFDS_LICENSE = "LICENSE"  # TFDS writes it beside them

Result = tuple[Check, Sequence[Problem]]


def check_plan(planned: DataSetPlan) -> Result:
    """Shards are numbered, share out the photographs, and lie on the side that the seed says."""
    shards = planned.shards
    faults = []
    files = Counter(shard.split for shard in shards)
    names = [record_file(split, k, n) for split, n in files.items() for k in range(n)]
    if [(shard.index, shard.file) for shard in shards] != list(enumerate(names)):
        faults.append("its shards are not numbered one after the other")
    times = Counter(name for shard in shards for name in shard.references)
    odd = sorted(name for name in {*times, *planned.sizes} if times[name] != 1)
    odd += sorted({*times} - {*planned.sizes} - {*odd})
    if odd:
        faults.append(listed("photographs that are not in exactly one shard", odd))
    validation = validation_references(list(planned.sizes), planned.validation, planned.seed)
    moved = [
        name
        for shard in shards
        for name in shard.references
        if shard.split != SPLITS[name in validation]
    ]
    if moved:
        faults.append(listed("photographs that the seed puts in the other split", moved))
    text = f"{len(planned.sizes)} photographs in {len(shards)} shards"
    problems = [Problem(MANIFEST, "; ".join(faults), ANOTHER)] if faults else []
    return Check("plan", text, len(faults)), problems


def check_folder(planned: DataSetPlan) -> tuple[Result, list[str]]:
    """Nothing in the folder could be taken for part of the data set; also, what is worth a note."""
    data = planned.folder
    belongs = {MANIFEST, EQUALIZATION, SOURCE, TFDS_LICENSE, *INFO}
    belongs |= {shard.file for shard in planned.shards}
    belongs |= {stats_path(data, shard).relative_to(data).as_posix() for shard in planned.shards}
    folders = [folder for folder in (data, data / STATS) if folder.is_dir()]
    there = [path for folder in folders for path in folder.iterdir() if path != data / STATS]
    strangers = sorted(
        name
        for name in (path.relative_to(data).as_posix() for path in there)
        if name not in belongs
    )
    # A writer's own, see ShardWriter and write_atomically.
    temporary = [n for n in strangers if n.split("/")[-1][0] == "." and n.endswith("tmp")]
    # Readers that go by the pattern of the names would read these.
    wrong = [n for n in strangers if n.startswith((f"{NAME}-", f"{STATS}/")) and n not in temporary]
    problems = [Problem(n, "does not belong to this data set", f"delete {data / n}") for n in wrong]
    others = [n for n in strangers if n not in temporary and n not in wrong]
    notes = []
    if temporary:
        left = listed("temporary files of a run that is going on or was stopped", temporary)
        notes.append(f"{left}; the latter can be deleted")
    if others:
        notes.append(listed("other files in the folder", others))
    return (Check("folder", f"{len(there)} files", len(wrong)), problems), notes


def check_split(inspected: Sequence[Inspected]) -> tuple[Result, list[Inspected]]:
    """No reference has images in both splits, by what is stored; if so, its shards have a fault."""
    sides: dict[str, set[str]] = {split: set() for split in SPLITS}
    for one in inspected:
        sides.setdefault(one.shard.split, set()).update(one.references)
    times = Counter(name for names in sides.values() for name in names)
    both = {name for name, number in times.items() if number > 1}
    # Where a shard has a reference that it should not have, the other one is not to blame.
    strays = {
        n for one in inspected for n in both & one.references if n not in one.shard.references
    }
    marked = []
    for one in inspected:
        planned = {*one.shard.references}
        blamed = sorted(n for n in both & one.references if n not in strays or n not in planned)
        if blamed:
            text = listed("references that are on the other side of the split too", blamed)
            one = replace(one, faults=(*one.faults, Fault("split", text)))
        marked.append(one)
    numbers = ", ".join(f"{len(names):,} in {split}" for split, names in sides.items() if names)
    text = f"references: {numbers or 'none'}"
    return (Check("split", text, len(both)), ()), marked


def check_description(planned: DataSetPlan, inspected: Sequence[Inspected]) -> Result:
    """What TFDS reads about the files is true of them; in a sound data set it reads records."""
    faults = []
    try:
        builder = tfds.builder_from_directory(os.fspath(planned.folder))
        if builder.info.features.to_json() != planned.features.to_json():
            faults.append("describes other features than the plan's")
        splits = builder.info.splits
        for split in sorted({*splits, *(one.shard.split for one in inspected)}):
            parts = [one for one in inspected if one.shard.split == split]
            wrong = _wrong_split(planned, parts, splits.get(split))
            if wrong:
                faults.append(f"{split}: {wrong}")
            names = [name for one in parts for name in one.kept]
            # TFDS opens no split without records.
            if names and not wrong and not any(one.faults for one in parts):
                source = builder.as_data_source(split)
                ends = [name_of(source[place]["reference"]) for place in (0, len(source) - 1)]
                if ends != names[:1] + names[-1:]:
                    faults.append(f"{split}: TFDS reads other records from its files")
    except Exception as error:  # TFDS raises many kinds for a folder that is not its own
        text = " ".join(str(error).split()) or type(error).__name__
        faults.append(f"cannot be opened as a TFDS data set ({text})")
    problems = [Problem(INFO[0], "; ".join(faults), run_again(planned))] if faults else []
    return Check("description", ", ".join(INFO), len(faults)), problems


def check_equalization(planned: DataSetPlan, inspected: Sequence[Inspected]) -> Result:
    """The histogram equalisation is the one of the training split's scores, to the last digit."""
    name = "equalisation"
    training = [one for one in inspected if one.shard.split == "train"]
    images = sum(one.images for one in training)
    if not images or any(one.faults for one in training):
        return Check(name, "waits for sound training shards", None), ()
    again = HistogramEqualization.fit(
        {
            metric: np.concatenate([one.scores[metric] for one in training])
            for metric in planned.metrics
        }
    )
    what = ""
    try:
        if (planned.folder / EQUALIZATION).read_text() != again.to_json():
            what = "is not the equalisation of the training split's scores"
    except FileNotFoundError:
        what = "is missing"
    except (OSError, ValueError) as error:
        what = f"cannot be read ({error})"
    problems = [Problem(EQUALIZATION, what, run_again(planned))] if what else []
    text = f"{len(again.names)} metrics fitted again to {images:,} images"
    return Check(name, text, len(problems)), problems


def _wrong_split(
    planned: DataSetPlan, parts: Sequence[Inspected], info: tfds.core.SplitInfo | None
) -> str:
    """What TFDS is told wrongly of a split's files."""
    if info is None or len(info.shard_lengths) != len(parts):
        return f"{len(parts)} files, not {len(info.shard_lengths) if info else 0}"
    images = planned.images_in_record
    for one, said in zip(parts, info.shard_lengths, strict=True):
        if said != one.due // images:
            return f"{one.due // images} records in {one.shard.file}, not {said}"
    total = sum(one.bytes for one in parts)
    if info.num_bytes != total and not any(one.faults for one in parts):
        return f"{total:,} bytes, not {int(info.num_bytes):,}"
    return ""
