"""A data set as KADIS-700k is published: a table of scores, and the pictures as files.

    scores.csv         dist_im, ref_im, then a column per metric in the paper's order
    PICTURES/dist_imgs the distorted images, named as in the column dist_im
    PICTURES/ref_imgs  the pristine crops, named as in the column ref_im

Names are those of `mtl.kadis.names`; sub-folders of the photographs are kept. A score is written
with the fewest digits that give the same float32 back.

Beside the pictures, export.json says of which data set and split they are, and pictures.jsonl what
each file holds, so that a file which was changed is written again. Nothing but names and digests is
kept in memory.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from fr_metrics import METRICS
from mtl.kadis.manifest import read_manifest
from mtl.kadis.names import exported_stems, version_name
from mtl.kadis.origins import PHOTOGRAPHS
from mtl.kadis.photographs import photographs_folder, pristine_again
from mtl.kadis.plan import check_workers
from mtl.kadis.records import DataSet
from mtl.kadis.shards import AGAIN, Shard, read_stats
from mtl.published.export_folder import JOURNAL, MARK, claim_pictures, noted_pictures
from mtl.published.score_tables import DISTORTED, REFERENCE
from mtl.runtime.contents import content_digest
from mtl.runtime.file_names import is_inside, too_long
from mtl.runtime.files import InputError, whole_file, write_atomically
from mtl.runtime.paths.apart import check_apart
from mtl.runtime.paths.outputs import check_output_folder, check_text_output
from mtl.runtime.pictures import Rejected, encode_png
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import write_rows
from mtl.runtime.threads import in_order

DISTORTED_FOLDER, REFERENCE_FOLDER = "dist_imgs", "ref_imgs"


@dataclass(frozen=True)
class ExportConfig:
    """What to export, and where to."""

    data: Path
    """Data set that `deepfl generate` or `deepfl import-scores` wrote."""
    out: Path
    """CSV file to write."""
    pictures: Path | None = None
    """Folder for the pictures, as dist_imgs and ref_imgs; a stopped export is continued."""
    split: Literal["train", "validation"] | None = None
    """One split alone; both when not given."""
    photos: Path | None = None
    """Folder of the photographs, for the references of a data set that does not store them; where
    they were when it was made if not given."""
    num_workers: int | None = None
    """Pictures at a time; one per core when not given."""


@dataclass(frozen=True)
class Exported:
    """What an export left behind."""

    table: Path
    images: int
    """Rows of the table."""
    references: int
    """Pictures of references that are there now."""
    rejected: tuple[Rejected, ...]
    """References that could not be made."""


@dataclass(frozen=True)
class _Part:
    """The part of a data set that is exported."""

    plan: Mapping[str, Any]
    """Of the manifest."""
    shards: Sequence[Shard]
    stems: Mapping[str, str]
    """What references are called in exported names."""


@dataclass(frozen=True)
class _Row:
    """One distorted image: what its stats say, and its place in the data set."""

    record: Mapping[str, Any]
    split: str
    index: int

    @property
    def reference(self) -> str:
        return self.record["reference"]


@dataclass(frozen=True)
class _File:
    """A picture to write."""

    folder: Path
    name: str
    """Relative to the folder of pictures."""
    row: _Row
    make: Callable[[_Row], UInt8[np.ndarray, "h w 3"]]
    content: str | None
    """SHA-256 of its file, once that is known."""


def column_title(metric: str) -> str:
    """A metric's column: its title with underscores, which MATLAB takes as a variable's name."""
    return METRICS[metric].title.replace("-", "_")


def export(config: ExportConfig, *, progress: bool = False) -> Exported:
    """Write the table, and the pictures if they are asked for.

    Raises:
        InputError: `data` is not a finished data set or has no such split, or `pictures` holds
            something else.
    """
    plan = read_manifest(config.data)["plan"]
    check_workers(config.num_workers)
    shards = [Shard(**fields) for fields in plan["shards"]]
    shards = [shard for shard in shards if config.split in (None, shard.split)]
    if not shards:
        raise InputError(f"{config.data}: has no {config.split} split")
    stems = exported_stems(plan[PHOTOGRAPHS])
    outside = [stem for stem in stems.values() if not is_inside(stem)]
    if outside:
        raise InputError(f"{config.data}: {outside[0]} is not a name inside a folder")
    inputs = [path for path in config.data.rglob("*") if path.suffix.lower() != ".csv"]
    if config.pictures is not None:
        check_output_folder(config.pictures, option="--pictures")
        if config.out.resolve() == config.pictures.resolve():
            raise InputError(
                f"{config.out}: is both --out and --pictures; give a file and a folder"
            )
        inputs.append(config.pictures / MARK)
    check_text_output(config.out, inputs)
    if config.pictures is not None:
        _check_apart(config, config.pictures)
        claim_pictures(config.pictures, plan, config.split)
    part = _Part(plan, shards, stems)
    images = _write_table(config, part, progress=progress)
    if config.pictures is None:
        return Exported(config.out, images, 0, ())
    references, rejected = _write_pictures(config, config.pictures, part, images, progress=progress)
    return Exported(config.out, images, references, tuple(rejected))


def _check_apart(config: ExportConfig, pictures: Path) -> None:
    """Refuse to write pictures into the data set, or among the photographs that it was made of."""
    check_apart(config.data, pictures, option="--pictures")
    photos = photographs_folder(config.data, config.photos)
    if photos is not None:
        check_apart(photos, pictures, option="--pictures")


def _rows(data: Path, shards: Sequence[Shard]) -> Iterator[_Row]:
    """The images in the order of the shards, a shard's stats at a time."""
    counts = {shard.split: 0 for shard in shards}
    for shard in shards:
        stats = read_stats(data, shard)
        if stats is None:
            raise InputError(f"{data / shard.file}: has lost its stats file; {AGAIN}")
        for record in stats["records"]:
            yield _Row(record, shard.split, counts[shard.split])
            counts[shard.split] += 1


def _names(row: _Row, stems: Mapping[str, str]) -> tuple[str, str]:
    """Names of the distorted image and of its reference."""
    stem = stems[row.reference]
    distorted = version_name(stem, row.record["distortion"], row.record["level"])
    return distorted, f"{stem}.png"


def _write_table(config: ExportConfig, part: _Part, *, progress: bool) -> int:
    """Write the table; returns how many rows it has."""
    metrics, images = part.plan["metrics"], 0
    with (
        whole_file(config.out) as file,
        TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="") as text,
        progress_bar(len(part.shards), "table of scores", "shard", show=progress) as bar,
    ):
        write_rows(text, [[DISTORTED, REFERENCE, *map(column_title, metrics)]])
        for shard in part.shards:
            for row in _rows(config.data, [shard]):
                scores = (str(np.float32(row.record["scores"][metric])) for metric in metrics)
                write_rows(text, [[*_names(row, part.stems), *scores]])
                images += 1
            bar.update()
    return images


def _write_pictures(
    config: ExportConfig,
    pictures: Path,
    part: _Part,
    images: int,
    *,
    progress: bool,
) -> tuple[int, list[Rejected]]:
    """Write what is missing; returns how many references are there, and which cannot be made."""
    stored = DataSet(config.data)
    pristine: Callable[[_Row], np.ndarray] | None = None
    if stored.store == "recipe":
        pristine = partial(_stored_pristine, stored)
    elif (photos := photographs_folder(config.data, config.photos)) is not None:
        pristine = partial(_crop_again, photos, part.plan)
    else:
        say(
            f"no {REFERENCE_FOLDER}: the data set does not store its references, and the"
            " photographs are not where they were; give their folder with --photos",
            show=progress,
        )

    noted = noted_pictures(pictures)

    def file(folder: str, name: str, row: _Row, make: Callable[[_Row], np.ndarray]) -> _File:
        name = f"{folder}/{name}"
        return _File(pictures, name, row, make, noted.get(name))

    def files() -> Iterator[_File]:
        before = None
        for row in _rows(config.data, part.shards):
            distorted, reference = _names(row, part.stems)
            if pristine is not None and row.reference != before:
                yield file(REFERENCE_FOLDER, reference, row, pristine)
            before = row.reference
            yield file(DISTORTED_FOLDER, distorted, row, partial(_distorted, stored))

    references = 0
    rejected: list[Rejected] = []
    with (
        progress_bar(images, "pictures", "img", show=progress) as bar,
        (pictures / JOURNAL).open("a", encoding="ascii") as journal,
        closing(in_order(_write_picture, files(), config.num_workers)) as written,
    ):
        for each in written:
            if isinstance(each, Rejected):
                rejected.append(each)
                continue
            if each.content != noted.get(each.name):
                journal.write(json.dumps([each.name, each.content]) + "\n")
                journal.flush()
            if each.make is pristine:
                references += 1
            else:
                bar.update()
    return references, rejected


def _write_picture(file: _File) -> _File | Rejected:
    """Make one picture unless it is there as it was written; returns it with its content."""
    path = file.folder / file.name
    reason = too_long(path.name)
    if reason is not None:
        return Rejected(file.row.reference, reason)
    if file.content is not None and path.is_file() and content_digest(path) == file.content:
        return file
    try:
        image = file.make(file.row)
    except InputError as error:
        return Rejected(file.row.reference, str(error))
    data = encode_png(image)
    write_atomically(path, data)
    return replace(file, content=hashlib.sha256(data).hexdigest())


def _distorted(stored: DataSet, row: _Row) -> UInt8[np.ndarray, "h w 3"]:
    return stored.image(row.split, row.index).image


def _stored_pristine(stored: DataSet, row: _Row) -> UInt8[np.ndarray, "h w 3"]:
    return stored.pristine(row.split, row.index)


def _crop_again(photos: Path, plan: Mapping[str, Any], row: _Row) -> UInt8[np.ndarray, "h w 3"]:
    return pristine_again(photos, plan, row.reference)
