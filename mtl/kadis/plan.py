"""Decide what a data set will hold, before any pixel is touched."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from fr_metrics import METRICS
from mtl.curation.pristine import SIZE, too_small
from mtl.kadis.metric_names import chosen_metrics
from mtl.kadis.origins import Generated
from mtl.kadis.recipes import LEVELS, chosen_levels, chosen_types, split_references
from mtl.kadis.records import Store
from mtl.kadis.shards import plan_shards
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError
from mtl.runtime.pictures import Rejected, list_pictures, picture_size
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.threads import in_order

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


@dataclass(frozen=True, kw_only=True)
class Plan(Generated):
    """Hold what `deepfl generate` is going to make, and of which folder of photographs."""

    config: GenerateConfig


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
        config=config,
        folder=config.out,
        recipe=config.recipe,
        types=types,
        types_per_reference=number_of_types,
        levels=config.levels,
        size=config.size,
        metrics=metrics,
        validation=config.validation,
        seed=config.seed,
        store=config.store,
        license=config.license,
        sizes=sizes,
        contents=contents,
        shards=tuple(shards),
        rejected=tuple(rejected),
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


def _check_metric_sizes(metrics: Sequence[str], size: tuple[int, int]) -> None:
    for metric in metrics:
        if min(size) < METRICS[metric].min_size:
            raise InputError(
                f"--size {size[0]} {size[1]}: {metric} needs at least"
                f" {METRICS[metric].min_size} pixels a side; use a larger --size or leave it out"
                " of --metrics"
            )
