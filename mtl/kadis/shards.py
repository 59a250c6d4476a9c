"""The shard directory: ArrayRecord files in TFDS layout, one stats file per finished shard.

    kadis-train.array_record-00000-of-00007   records (tf.train.Example)
    kadis-validation.array_record-00000-of-00001
    dataset_info.json features.json           read by tfds.builder_from_directory
    stats/00000.json                          written last: its existence means the shard is done
    manifest.json                             what was planned, what was rejected
    equalization.json                         histogram equalisation of the training split's scores

What a record holds is said in `mtl.kadis.records`. Neither TensorFlow nor pickle is involved.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from mtl.runtime.files import InputError, file_digest, json_text, write_atomically

NAME = "kadis"
SPLITS = ("train", "validation")
STATS = "stats"  # the folder of the stats files
HOMEPAGE = "https://arxiv.org/abs/2001.08113"
CITATION = """\
@article{deepfl-iqa,
  title={DeepFL-IQA: Weak Supervision for Deep IQA Feature Learning},
  author={Lin, Hanhe and Hosu, Vlad and Saupe, Dietmar},
  journal={arXiv preprint arXiv:2001.08113},
  year={2020}
}
@inproceedings{kadid10k,
  title={KADID-10k: A Large-scale Artificially Distorted IQA Database},
  author={Lin, Hanhe and Hosu, Vlad and Saupe, Dietmar},
  booktitle={International Conference on Quality of Multimedia Experience (QoMEX)},
  year={2019},
  doi={10.1109/QoMEX.2019.8743252}
}"""

# Two commands make data sets, and what is read here may be of either.
AGAIN = "run the command that made the data set again"

# One record per chunk: every record can be read without decompressing its neighbours.
WRITER_OPTIONS = "group_size:1"


@dataclass(frozen=True)
class Shard:
    """One file of the data set: its number over all splits, its name, and its references."""

    index: int
    split: str
    file: str
    references: tuple[str, ...]


def plan_shards(references: Mapping[str, Sequence[str]], number: int) -> list[Shard]:
    """Spread each split's references evenly over `number` files in all, at least one per split."""
    total = sum(len(names) for names in references.values())
    shards = []
    for split, names in references.items():
        if not names:
            continue
        files = min(max(1, round(number * len(names) / total)), len(names))
        for k, part in enumerate(np.array_split(np.arange(len(names)), files)):
            file = record_file(split, k, files)
            shards.append(Shard(len(shards), split, file, tuple(names[i] for i in part)))
    return shards


def record_file(split: str, number: int, files: int) -> str:
    """The name, as TFDS expects it, of file `number` of a split's so many files."""
    return f"{NAME}-{split}.array_record-{number:05d}-of-{files:05d}"


def stats_path(out: Path, shard: Shard) -> Path:
    """Where the shard's stats file is, or will be."""
    return out / STATS / f"{shard.index:05d}.json"


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
        raise InputError(f"{path}: is damaged; delete it and {AGAIN}") from error
    file = out / shard.file
    if not file.exists() or file.stat().st_size != size:
        raise InputError(f"{file}: is missing or truncated; delete {path} and {AGAIN}")
    return stats


def check_shard(out: Path, shard: Shard, stats: Mapping[str, Any]) -> None:
    """Make sure that a finished shard still holds what its stats say.

    Digesting takes about a second per gigabyte, far less than making it.

    Raises:
        InputError: it was changed, or the stats do not say.
    """
    file = out / shard.file
    if stats.get("sha256") != file_digest(file):
        raise InputError(
            f"{file}: was changed since it was made; delete {stats_path(out, shard)} and {AGAIN}"
        )


class ShardWriter:
    """Context manager: writes the record file of one shard.

    The file appears under its name only when the block ends without an exception; the shard is done
    only after `finish_shard`.

    Raises:
        OSError: the records could not be written whole.
    """

    def __init__(self, out: Path, shard: Shard):
        self._file = out / shard.file
        # A worker that was thought dead may still be writing: each has a name of its own.
        self._temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}.tmp")
        self._written = 0

    def __enter__(self) -> "ShardWriter":
        for stale in self._file.parent.glob(f".{self._file.name}.*.tmp"):
            if stale.name.split(".")[-2].isdecimal():  # else it is the user's
                stale.unlink(missing_ok=True)
        self._writer = ArrayRecordWriter(str(self._temporary), WRITER_OPTIONS)
        return self

    def write(self, record: bytes) -> None:
        """Append one record."""
        self._writer.write(record)
        self._written += 1

    def __exit__(self, kind: type | None, error: object, traceback: object) -> None:
        try:
            self._writer.close()
            whole = number_of_records(self._temporary) == self._written
        except RuntimeError as problem:  # how ArrayRecord reports a failed write
            self._temporary.unlink(missing_ok=True)
            if kind is None:
                raise OSError(f"{self._file}: could not be written ({problem})") from problem
            return
        if kind is None and whole:
            self._temporary.replace(self._file)
            return
        self._temporary.unlink(missing_ok=True)
        if kind is None:
            raise OSError(f"{self._file}: could not be written whole")


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
    write_atomically(stats_path(out, shard), json_text(stats))


@dataclass(frozen=True)
class SplitSizes:
    """What TFDS has to know of a split's files."""

    records: Sequence[int]
    """Per shard, in the order of the files."""
    bytes: int


def write_dataset_info(
    out: Path,
    features: tfds.features.FeaturesDict,
    splits: Mapping[str, SplitSizes],
    *,
    description: str,
    license: str,
) -> None:
    """Write the TFDS files that make the directory a data set."""
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=list(sizes.records),
            num_bytes=sizes.bytes,
            filename_template=tfds.core.ShardedFileTemplate(
                dataset_name=NAME, data_dir=out, split=split, filetype_suffix="array_record"
            ),
        )
        for split, sizes in splits.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=os.fspath(out),
        features=features,
        split_infos=infos,
        description=description,
        citation=CITATION,
        homepage=HOMEPAGE,
        license=license,
        check_data=False,
    )


def number_of_records(path: Path) -> int:
    """How many records a file holds.

    Raises:
        RuntimeError: it is truncated or no such file.
    """
    reader = ArrayRecordReader(str(path))
    try:
        return reader.num_records()
    finally:
        reader.close()
