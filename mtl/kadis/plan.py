"""What a data set will hold, decided before any pixel is touched, and the manifest that says so."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from tensorflow_datasets.core.features import FeaturesDict

from fr_metrics import METRICS
from mtl.curation.pristine import SIZE, too_small
from mtl.kadis import MANIFEST
from mtl.kadis.metric_names import chosen_metrics
from mtl.kadis.recipes import (
    LEVELS,
    Version,
    chosen_levels,
    chosen_types,
    plan_versions,
    split_references,
)
from mtl.kadis.records import Store, record_features
from mtl.kadis.shards import AGAIN, Shard, plan_shards
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError, json_text, write_atomically
from mtl.runtime.pictures import Rejected, list_pictures, picture_size
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.threads import in_order

FORMAT = 2  # of manifest.json
# Entries of the plan, by the name of a photograph: the bytes of its file, and their SHA-256.
PHOTOGRAPHS, CONTENTS = "photographs", "contents"
# How far a score may be from the stored one. All metrics run over about 0..1. In float32 they were
# seen up to 2e-5 from their float64 values (SSIM, brightened images), so two kinds of processor,
# which round differently, may be twice that apart; a wrong image or formula is off by far more.
SCORE_TOLERANCE = 1e-4
FILES_AT_A_TIME = 8  # opening files on a network's disk is mostly waiting


@dataclass(frozen=True)
class GenerateConfig:
    """What to generate. The recipe's fields decide every byte; workers and address decide none."""

    photos: Path
    """Folder of photographs (sub-folders are searched)."""
    out: Path
    """Folder for the data set; an unfinished one of the same plan is continued."""
    recipe: Literal["kadis", "kadid"] = "kadis"
    """kadis: randomly drawn types per photograph, at all levels. kadid: all types at all levels."""
    per_image: int = 5
    """Distorted versions per photograph with --recipe kadis: a multiple of the number of levels."""
    types: tuple[str, ...] = ()
    """Distortions to draw from, by name or id; all of them when not given."""
    levels: tuple[int, ...] = LEVELS
    """Levels to apply, 1..5."""
    size: tuple[int, int] = SIZE
    """Height and width of the pristine crops in pixels."""
    metrics: tuple[str, ...] = ()
    """Full-reference metrics to score with; all of them when not given."""
    validation: float = 1 / 7
    """Share of the photographs in the validation split (KADIS-700k: 100,000 of 700,000 images)."""
    shards: int = 8
    """Number of files over both splits; each is one task."""
    seed: int = 0
    """Decides drawn types, noise, positions and the split."""
    store: Store = "pixels"
    """pixels: every distorted image. recipe: each pristine crop once, a fifth of the space; the
    images are distorted again, to the same bytes, whenever they are read."""
    license: str = "not stated: that of the photographs"
    """Goes into dataset_info.json: under what terms the data set may be used."""
    num_workers: int | None = None
    """Tasks at a time; one per core when not given."""
    gpus_per_worker: float = 0.0
    """Share of a GPU for each worker, for metrics and denoising; 0: on the CPU."""
    address: str | None = None
    """Ray cluster to join, such as `auto` or `ray://head:10001`; a local one when not given."""


class Planned(Protocol):
    """What a data set's plan says, whatever the data set is made of."""

    @property
    def metrics(self) -> Sequence[str]:
        """Names of the scores."""
        ...

    @property
    def shards(self) -> Sequence[Shard]:
        """All files."""
        ...

    @property
    def rejected(self) -> Sequence[Rejected]:
        """What was left out before any pixel was touched."""
        ...

    @property
    def features(self) -> FeaturesDict:
        """What a record holds."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The plan in the manifest."""
        ...


@dataclass(frozen=True)
class Plan:
    """What a data set will hold, before any pixel is touched."""

    config: GenerateConfig
    types: tuple[int, ...]
    metrics: tuple[str, ...]
    number_of_types: int
    sizes: Mapping[str, int]
    """Bytes of each accepted photograph's file, by name."""
    contents: Mapping[str, str]
    """SHA-256 of the same files; empty in a data set of a version that did not note them."""
    shards: tuple[Shard, ...]
    rejected: tuple[Rejected, ...]

    def versions(self, reference: str) -> list[Version]:
        """The versions of one reference."""
        c = self.config
        return plan_versions(reference, self.types, c.levels, self.number_of_types, c.seed)

    @property
    def versions_per_reference(self) -> int:
        """How many versions each reference gets."""
        return self.number_of_types * len(self.config.levels)

    @property
    def features(self) -> FeaturesDict:
        """What a record holds."""
        c = self.config
        return record_features(c.store, c.size, self.metrics, self.versions_per_reference)

    def to_json(self) -> dict[str, Any]:
        """The plan in the manifest: all that decides the bytes, nothing of this machine."""
        c = self.config
        return {
            "recipe": c.recipe,
            "types": list(self.types),
            "types_per_reference": self.number_of_types,
            "levels": list(c.levels),
            "size": list(c.size),
            "metrics": list(self.metrics),
            "score_tolerance": SCORE_TOLERANCE,
            "validation": c.validation,
            "seed": c.seed,
            "store": c.store,
            "license": c.license,
            PHOTOGRAPHS: dict(self.sizes),
            **({CONTENTS: dict(self.contents)} if self.contents else {}),
            "shards": [asdict(s) | {"references": list(s.references)} for s in self.shards],
        }


def make_plan(config: GenerateConfig, *, progress: bool = False) -> Plan:
    """Check the configuration and the photographs' headers, digest them, and decide everything.

    Args:
        config: what to generate.
        progress: report on standard error.

    Raises:
        InputError: a setting is out of range, or no photograph can be used.
    """
    types = chosen_types(config.types)
    metrics = chosen_metrics(config.metrics)
    config = replace(config, levels=chosen_levels(config.levels))
    if min(config.size) < 1:
        raise InputError(f"--size {config.size}: give height and width in pixels")
    if config.recipe == "kadid":
        number_of_types = len(types)
    else:
        number_of_types, rest = divmod(config.per_image, len(config.levels))
        if rest or not 1 <= number_of_types <= len(types):
            least, most = len(config.levels), len(config.levels) * len(types)
            raise InputError(
                f"--per-image {config.per_image}: must be a multiple of the {least} levels, from"
                f" {least} to {most} with {len(types)} types"
            )
    check_layout(config.validation, config.shards, config.seed)
    check_workers(config.num_workers)
    if config.gpus_per_worker < 0:
        raise InputError(f"--gpus-per-worker {config.gpus_per_worker}: must be at least 0")
    _check_metric_sizes(metrics, config.size)

    names = list_pictures(config.photos, say if progress else None)
    found_in_order = in_order(partial(_usable, config), names, FILES_AT_A_TIME)
    with progress_bar(len(names), "look at photographs", "file", show=progress) as bar:
        sizes, contents, rejected = {}, {}, []
        for name, found in zip(names, found_in_order, strict=True):
            bar.update()
            if isinstance(found, Rejected):
                rejected.append(found)
            else:
                sizes[name], contents[name] = found
    if not sizes:
        first = rejected[0]
        raise InputError(
            f"{config.photos}: none of its {len(rejected)} pictures can be used;"
            f" the first, {first.file}: {first.reason}"
        )
    shards = plan_shards(
        split_references(list(sizes), config.validation, config.seed), config.shards
    )
    return Plan(
        config, types, metrics, number_of_types, sizes, contents, tuple(shards), tuple(rejected)
    )


def check_layout(validation: float, shards: int, seed: int) -> None:
    """Refuse a share, a number of files or a seed out of its range.

    Raises:
        InputError: names the option.
    """
    if not 0 <= validation < 1:
        raise InputError(f"--validation {validation}: must be a share from 0 to below 1")
    if shards < 1 or seed < 0:
        raise InputError("--shards must be at least 1 and --seed at least 0")


def check_workers(number: int | None) -> None:
    """Refuse a number of workers below 1; None stands for one per core.

    Raises:
        InputError: names the option.
    """
    if number is not None and number < 1:
        raise InputError(f"--num-workers {number}: must be at least 1")


def _usable(config: GenerateConfig, name: str) -> tuple[int, str] | Rejected:
    """The bytes and the SHA-256 of a photograph's file, or why it cannot be used."""
    path = config.photos / name
    try:
        reason = too_small(picture_size(path), config.size)
        return Rejected(name, reason) if reason else (path.stat().st_size, content_digest(path))
    except (InputError, OSError) as error:
        return Rejected.of(name, path, error)


def claim(out: Path, planned: Planned) -> None:
    """Write the plan into `out`, or make sure that the plan there is this one."""
    path = out / MANIFEST
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out}: exists and is not a data set; choose another --out")
        write_atomically(path, manifest_text(planned, complete=False, rejected=planned.rejected))
        return
    ours = planned.to_json()
    try:
        there = json.loads(path.read_text())
        theirs, form = there["plan"], there["format"]
        others = "" if form == FORMAT and theirs == ours else _others(theirs, ours)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is damaged; delete {out} or choose another --out") from error
    if others:
        raise InputError(
            f"{out}: holds a data set of other photographs or settings ({others}); choose another"
            " --out"
        )


def _others(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Say in what the plan in a folder is not ours."""
    if CONTENTS in ours and CONTENTS not in theirs:
        return "it was begun by a version that did not note what the pictures hold"
    for name in (PHOTOGRAPHS, CONTENTS):
        changed = theirs.get(name, {}).items() ^ ours.get(name, {}).items()
        if changed:
            return f"{min(photograph for photograph, _ in changed)} has come, gone or changed"
    names = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
    return f"another {', '.join(names)}" if names else "another format"


def manifest_text(planned: Planned, *, complete: bool, rejected: Sequence[Rejected]) -> str:
    """The manifest as JSON; without times or places, so that it depends on the plan alone."""
    manifest = {
        "format": FORMAT,
        "complete": complete,
        "plan": planned.to_json(),
        "rejected": [asdict(r) for r in sorted(rejected, key=lambda r: r.file)],
    }
    return json_text(manifest)


def read_manifest(data: Path) -> dict[str, Any]:
    """The manifest of a finished data set.

    Raises:
        InputError: `data` is not a data set, or making it has not ended.
    """
    path = data / MANIFEST
    if not data.is_dir() or not path.is_file():
        raise InputError(
            f"{data}: is not a data set ({MANIFEST} is missing); give a folder that"
            " `deepfl generate` or `deepfl import-scores` wrote"
        )
    try:
        manifest = json.loads(path.read_text())
        complete, form = manifest["complete"], manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged; {AGAIN}, in another folder") from error
    if form != FORMAT:
        raise InputError(f"{path}: has format {form}, this version reads {FORMAT}")
    if not complete:
        raise InputError(f"{data}: is unfinished; run the command that began it again")
    return manifest


def plan_digest(plan: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's plan, by which a run knows its data set wherever that is."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _check_metric_sizes(metrics: Sequence[str], size: tuple[int, int]) -> None:
    for metric in metrics:
        if min(size) < METRICS[metric].min_size:
            raise InputError(
                f"--size {size[0]} {size[1]}: {metric} needs at least"
                f" {METRICS[metric].min_size} pixels a side; use a larger --size or leave it out"
                " of --metrics"
            )


def check_unchanged(path: Path, content: str | None) -> None:
    """Make sure that a picture is the one that the plan was made with.

    Args:
        path: its file.
        content: the SHA-256 that the plan notes; None where it notes none.

    Raises:
        InputError: it is another, or cannot be read.
    """
    if content is not None and content_digest(path) != content:
        raise InputError(f"{path}: has changed since the data set was planned; put it back")
