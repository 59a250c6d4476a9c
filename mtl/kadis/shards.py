"""The shard directory: ArrayRecord files in TFDS layout, one stats file per finished shard.

    kadis-train.array_record-00000-of-00007   records (tf.train.Example, PNG pixels)
    kadis-validation.array_record-00000-of-00001
    dataset_info.json features.json           read by tfds.builder_from_directory
    stats/00000.json                          written last: its existence means the shard is done
    manifest.json                             what was planned, what was rejected
    equalization.json                         histogram equalisation of the training split's scores

A record holds image, reference, distortion, level, seed and scores/METRIC (raw). Neither TensorFlow
nor pickle is involved.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from jaxtyping import UInt8
from tensorflow_datasets.proto import tf_example_pb2

from mtl.files import InputError, write_atomically
from mtl.kadis.recipes import Version
from mtl.pictures import encode_png

NAME = "kadis"
SPLITS = ("train", "validation")
CITATION = (
    "H. Lin, V. Hosu, D. Saupe: DeepFL-IQA: Weak Supervision for Deep IQA Feature Learning,"
    " arXiv:2001.08113, 2020"
)

# One record per chunk: every record can be read without decompressing its neighbours.
WRITER_OPTIONS = "group_size:1"


@dataclass(frozen=True)
class Shard:
    """One file of the data set: its number over all splits, its name, and its references."""

    index: int
    split: str
    file: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """One distorted image and everything known of it."""

    image: UInt8[np.ndarray, "h w 3"]
    reference: str
    version: Version
    scores: Mapping[str, float]


def plan_shards(references: Mapping[str, Sequence[str]], number: int) -> list[Shard]:
    """Spread each split's references evenly over `number` files in all, at least one per split."""
    total = sum(len(names) for names in references.values())
    shards = []
    for split, names in references.items():
        if not names:
            continue
        files = min(max(1, round(number * len(names) / total)), len(names))
        for k, part in enumerate(np.array_split(np.arange(len(names)), files)):
            file = f"{NAME}-{split}.array_record-{k:05d}-of-{files:05d}"
            shards.append(Shard(len(shards), split, file, tuple(names[i] for i in part)))
    return shards


def record_features(size: tuple[int, int], metrics: Sequence[str]) -> tfds.features.FeaturesDict:
    """The TFDS description of a record with images of (height, width) `size`."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(*size, 3), encoding_format="png"),
            "reference": tfds.features.Text(),
            "distortion": tfds.features.Scalar(np.int32),
            "level": tfds.features.Scalar(np.int32),
            "seed": tfds.features.Scalar(np.int64),
            "scores": tfds.features.FeaturesDict(
                {metric: tfds.features.Scalar(np.float32) for metric in metrics}
            ),
        }
    )


def stats_path(out: Path, shard: Shard) -> Path:
    """Where the shard's stats file is, or will be."""
    return out / "stats" / f"{shard.index:05d}.json"


def read_stats(out: Path, shard: Shard) -> dict[str, Any] | None:
    """The stats of a finished shard; None when it is not done.

    Raises:
        InputError: the stats file is not JSON, or the shard beside it is missing or changed in
        size.
    """
    path = stats_path(out, shard)
    if not path.exists():
        return None
    try:
        stats = json.loads(path.read_text())
        size = stats["bytes"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged; delete it and run generate again") from error
    file = out / shard.file
    if not file.exists() or file.stat().st_size != size:
        raise InputError(f"{file}: is missing or truncated; delete {path} and run generate again")
    return stats


def write_shard(
    out: Path,
    shard: Shard,
    size: tuple[int, int],
    metrics: Sequence[str],
    records: Iterable[Record],
) -> Iterator[int]:
    """Write the record file of one shard, yielding the number of records written so far.

    The file appears under its name only when complete; the shard is done only after `finish_shard`.
    """
    features = record_features(size, metrics)
    file = out / shard.file
    # A worker that was thought dead may still be writing: each has a name of its own.
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    for stale in out.glob(f".{file.name}.*tmp"):
        stale.unlink(missing_ok=True)
    written = 0
    writer = ArrayRecordWriter(str(temporary), WRITER_OPTIONS)
    try:
        for record in records:
            example = features.encode_example(
                {
                    "image": encode_png(record.image),
                    "reference": record.reference,
                    "distortion": record.version.distortion,
                    "level": record.version.level,
                    "seed": record.version.seed,
                    "scores": dict(record.scores),
                }
            )
            writer.write(_same_bytes(features.serialize_example(example)))
            written += 1
            yield written
    finally:
        writer.close()
    if _number_of_records(temporary) != written:
        raise OSError(f"{file}: could not be written whole; is the disk full?")
    temporary.replace(file)


def finish_shard(
    out: Path,
    shard: Shard,
    records: Sequence[Mapping[str, Any]],
    rejected: Sequence[Mapping[str, str]],
) -> None:
    """Write the stats file of a shard whose record file is in place: the shard is done."""
    file = out / shard.file
    stats = {
        "file": shard.file,
        "split": shard.split,
        "bytes": file.stat().st_size,
        "sha256": file_digest(file),
        "records": list(records),
        "rejected": list(rejected),
    }
    write_atomically(stats_path(out, shard), json.dumps(stats, indent=1, ensure_ascii=False))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_dataset_info(
    out: Path,
    size: tuple[int, int],
    metrics: Sequence[str],
    shards: Sequence[Shard],
    stats: Sequence[Mapping[str, Any]],
    description: str,
) -> None:
    """Write the TFDS files that make the directory a data set."""
    infos = []
    for split in SPLITS:
        parts = [s for shard, s in zip(shards, stats, strict=True) if shard.split == split]
        if parts:
            template = tfds.core.ShardedFileTemplate(
                dataset_name=NAME, data_dir=out, split=split, filetype_suffix="array_record"
            )
            infos.append(
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[len(s["records"]) for s in parts],
                    num_bytes=sum(s["bytes"] for s in parts),
                    filename_template=template,
                )
            )
    tfds.folder_dataset.write_metadata(
        data_dir=os.fspath(out),
        features=record_features(size, metrics),
        split_infos=infos,
        description=description,
        citation=CITATION,
        check_data=False,
    )


def _same_bytes(serialized: bytes) -> bytes:
    """The same tf.train.Example with its features in a fixed order.

    Protocol buffers write the entries of a map in an order that changes from process to process.
    """
    example = tf_example_pb2.Example.FromString(serialized)
    return example.SerializeToString(deterministic=True)


def _number_of_records(path: Path) -> int:
    reader = ArrayRecordReader(str(path))
    try:
        return reader.num_records()
    finally:
        reader.close()
