"""Measuring the indicators of many photographs with Ray, and keeping what was measured.

A task measures a batch of photographs and writes its results as one file of JSON lines, whole or
not at all. A result belongs to a name, a size in bytes and a time of change, so that a stopped run
continues and a photograph that has changed is measured again. Results for other settings may lie in
the same folder.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from mlsp.choosing.indicators import DIGITS, INDICATORS, measured
from mlsp.features.extraction import extract_to
from mtl.curation.crops import CurateConfig, crop_of
from mtl.network.weights import WEIGHTS_FILE, load_model
from mtl.runtime.contents import content_digest, digest_of
from mtl.runtime.files import InputError, file_digest, write_atomically
from mtl.runtime.pictures import Rejected
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.ray_tasks import Failure, Report, Workers, run_tasks

FORMAT = 1
BATCH = 32  # photographs of a task; what a killed worker may lose
RETRIES = 3  # of a task whose worker dies

Stamp = tuple[str, int, int]  # name, bytes, time of change in nanoseconds


@dataclass(frozen=True)
class Measured:
    """What is known of a photograph that can be used."""

    name: str
    values: Mapping[str, float]
    """By the names of `mlsp.choosing.indicators.INDICATORS`."""
    hash: int
    """Perceptual hash."""


def stamp(photos: Path, name: str) -> Stamp:
    """What tells one state of a photograph from another."""
    path = photos / name
    if not path.exists():  # a link that leads nowhere: left out when it is measured
        return name, 0, 0
    state = path.stat()
    return name, state.st_size, state.st_mtime_ns


def measure(
    config: CurateConfig, names: Sequence[str], folder: Path, *, progress: bool = False
) -> list[Measured | Rejected]:
    """The indicators of each photograph, or why it cannot be used, in the order of the names.

    Args:
        config: how photographs are cropped, and the number of workers.
        names: of the photographs under `config.photos`.
        folder: where results are kept.
        progress: report on standard error.

    Raises:
        InputError: the folder holds a damaged file.
        OSError: a file could not be written, or a worker died again and again.
    """
    stamps = [stamp(config.photos, name) for name in names]
    header = {"format": FORMAT, "digits": DIGITS, "settings": crop_settings(config)}
    known = _read(folder, header)
    todo = [one for one in stamps if one not in known]
    with progress_bar(
        len(names), "measure", "img", show=progress, done=len(names) - len(todo)
    ) as bar:
        if todo:
            say("starting workers ...", show=progress)
            batches = [todo[k : k + BATCH] for k in range(0, len(todo), BATCH)]
            here = replace(config, photos=config.photos.resolve())
            for done in _run(here, batches, folder.resolve(), header):
                bar.update(done)
            known |= _read(folder, header)
    missing = [name for name, *_ in (one for one in stamps if one not in known)]
    if missing:
        raise InputError(f"{missing[0]}: changes while it is measured; run the same command again")
    return [_result(one, known[one]) for one in stamps]


def crop_settings(config: CurateConfig) -> dict[str, Any]:
    """What decides a photograph's crop."""
    return {"size": list(config.size), "crop": config.crop, "enlarge": config.enlarge}


def _result(one: Stamp, row: Mapping[str, Any]) -> Measured | Rejected:
    if "reason" in row:
        return Rejected(one[0], row["reason"])
    return Measured(one[0], row["values"], int(row["hash"], 16))


def _read(folder: Path, header: Mapping[str, Any]) -> dict[Stamp, dict[str, Any]]:
    """All results for the settings of the header."""
    found: dict[Stamp, dict[str, Any]] = {}
    for path in sorted(folder.glob("indicators-*.jsonl")):
        try:
            first, *rows = [json.loads(line) for line in path.read_text("ascii").splitlines()]
            if first != header:
                continue
            for row in rows:
                if "reason" not in row and (set(row["values"]) != set(INDICATORS)):
                    raise KeyError("values")
                found[row["name"], row["bytes"], row["changed"]] = row
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: is damaged; delete it") from error
    return found


def _run(
    config: CurateConfig, batches: Sequence[Sequence[Stamp]], folder: Path, header: Mapping
) -> Iterator[int]:
    """Have Ray measure batches; yields the number of photographs that are done since the last."""
    workers = Workers(config.num_workers, retries=RETRIES)
    with closing(run_tasks(_measure_batch, (config, folder, header), batches, workers)) as steps:
        done = 0
        for step in steps:
            if step.failed:
                place, failure = next(iter(step.failed.items()))
                raise _failure(config, batches[place], failure) from None
            now = sum(len(batches[place]) for place in step.finished)
            yield now - done
            done = now


def _failure(config: CurateConfig, batch: Sequence[Stamp], failure: Failure) -> Exception:
    """Return the error to raise for a batch that could not be measured."""
    if failure.lost:
        return OSError(
            f"{config.photos}: the worker that measures {batch[0][0]} ... {batch[-1][0]} died"
            f" {RETRIES + 1} times ({type(failure.error).__name__}); look at these photographs and"
            " at the machine's memory, then run the same command again: what was measured is kept"
        )
    if isinstance(failure.cause, OSError):
        return OSError(f"{failure.cause}; run the same command again: what was measured is kept")
    return failure.error


def _measure_batch(
    shared: tuple[CurateConfig, Path, Mapping[str, Any]], batch: Sequence[Stamp], report: Report
) -> None:
    """The task."""
    import cv2
    from threadpoolctl import threadpool_limits

    config, folder, header = shared
    cv2.setNumThreads(1)
    rows = []
    with threadpool_limits(1):
        for name, size, changed in batch:
            row = {"name": name, "bytes": size, "changed": changed}
            rows.append(row | _measure(config, name))
    key = digest_of(header, list(batch))[:16]
    text = "\n".join(json.dumps(row) for row in [header, *rows])
    write_atomically(folder / f"indicators-{key}.jsonl", text + "\n")


def _measure(config: CurateConfig, name: str) -> dict[str, Any]:
    """What is stored of a photograph besides its stamp."""
    cropped = crop_of(config, name)
    if isinstance(cropped, Rejected):
        return {"reason": cropped.reason}
    path = config.photos / name
    try:
        values = measured(path, cropped.shape, cropped.image)
    except InputError as error:
        return {"reason": Rejected.of(name, path, error).reason}
    return {"values": values, "hash": f"{cropped.hash:016x}"}


@dataclass(frozen=True)
class CroppedFiles:
    """Photographs as the source of features: each is cropped when it is asked for."""

    config: CurateConfig
    names: Sequence[str]

    @property
    def columns(self) -> Sequence[Mapping[str, str]]:
        """None."""
        return [{} for _ in self.names]

    def size(self, index: int) -> tuple[int, int]:
        """That of all crops."""
        return self.config.size

    def load(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The crop; InputError if the photograph cannot be used."""
        cropped = crop_of(self.config, self.names[index])
        if isinstance(cropped, Rejected):
            raise InputError(f"{cropped.file}: {cropped.reason}")
        return cropped.image

    def content(self, index: int) -> str:
        """Return a digest of the file and of what decides the crop."""
        digest = content_digest(self.config.photos / self.names[index])
        return digest_of(digest, crop_settings(self.config))


def deep_features(
    config: CurateConfig, names: Sequence[str], model: Path, folder: Path, *, progress: bool = False
) -> Float[np.ndarray, "n f"]:
    """A row per photograph: the last layer of the network, averaged over the crop.

    Kept in the folder for these names, this model and these crops; where a photograph has changed
    since, it is described again.

    Args:
        config: how photographs are cropped.
        names: of photographs that can be used.
        model: model folder.
        folder: where features are kept.
        progress: report on standard error.

    Raises:
        InputError: the model cannot be used, or a photograph no longer can.
    """
    trained = load_model(model)
    digest = digest_of(
        file_digest(trained.folder / WEIGHTS_FILE), crop_settings(config), list(names)
    )[:16]
    found = extract_to(
        trained,
        CroppedFiles(config, names),
        folder / f"features-{digest}",
        kind="gap",
        progress=progress,
    )
    for name, reason in found.skipped.items():
        raise InputError(f"{name}: {reason.removeprefix(f'{name}: ')}")
    return np.asarray(found.matrix)
