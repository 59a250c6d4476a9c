"""What `deepfl curate --diverse` can be told, and what of it makes no sense."""

import dataclasses
from dataclasses import dataclass
from math import inf
from pathlib import Path

from mtl.curation.crops import CurateConfig, check
from mtl.network.weights import INCLUDED
from mtl.runtime.files import InputError

BINS = 200  # of each indicator, and clusters (KonIQ-10k)
PER_BIN = 5  # photographs that a bin should hold at least: fewer bins where K is small
SPARE = 2 / 11  # KonIQ-10k chose 13,000 photographs and left out 2,000 as near-duplicates


@dataclass(frozen=True)
class DiverseConfig(CurateConfig):
    """What to curate and how, and how to choose among the photographs."""

    diverse: int | None = None
    """Choose so many photographs whose indicators are as uniform as possible; the options below
    need it."""
    bins: int | None = None
    """Of each indicator; 200, or fewer so that each has room for 5 photographs, when not given."""
    clusters: int | None = None
    """Of the content; as many as --bins when not given."""
    spare: float = SPARE
    """Photographs chosen beyond K, as a share of K, to be left out again as near-duplicates."""
    tags: Path | None = None
    """CSV file with the columns image and tags (such as beach:0.93;outdoor): only photographs that
    fill --quota for each tag are measured."""
    quota: int | None = None
    """Photographs that each tag should have."""
    candidates: int | None = None
    """Photographs that --tags leaves at most; the quota follows when it is not given."""
    model: Path = Path(INCLUDED)
    """Model folder whose features tell contents apart; deepfl-small comes with the program."""
    seed: int = 0
    """Of the clusters."""
    measured: Path | None = None
    """Folder for what is measured, which other choices may share; OUT/measured when not given."""


def check_diverse(config: DiverseConfig) -> int:
    """The number of photographs to choose; refuses settings that cannot be.

    Raises:
        InputError: numbers, sizes or folders make no sense.
    """
    check(config)
    if config.diverse is None:
        raise InputError("give --diverse and the number of photographs to choose")
    for name in ("diverse", "bins", "clusters", "quota", "candidates"):
        number = getattr(config, name)
        if number is not None and number < 1:
            raise InputError(f"--{name} {number}: must be at least 1")
    if not 0 <= config.spare < inf:
        raise InputError(f"--spare {config.spare}: give a share of K, 0 or more")
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: must be at least 0")
    if (config.tags is None) != (config.quota is None and config.candidates is None):
        raise InputError("--tags needs --quota or --candidates, and they need --tags")
    if config.measured is not None:
        measured, photos = config.measured.resolve(), config.photos.resolve()
        if measured == config.out.resolve():
            raise InputError(f"--measured {config.measured}: is --out; give another folder")
        if measured == photos or photos in measured.parents:
            raise InputError(f"--measured {config.measured}: is inside the photographs' folder")
        if measured.exists() and not measured.is_dir():
            raise InputError(f"--measured {config.measured}: is a file; give a folder")
    return config.diverse


def only_for_diverse(config: DiverseConfig) -> list[str]:
    """Options that were given although they mean something only with --diverse."""
    inherited = {field.name for field in dataclasses.fields(CurateConfig)}
    return [
        f"--{field.name}"
        for field in dataclasses.fields(DiverseConfig)
        if field.name not in inherited and getattr(config, field.name) != field.default
    ]


def bins_of(config: DiverseConfig) -> int:
    """The number of bins of each indicator."""
    return config.bins or max(2, min(BINS, (config.diverse or 0) // PER_BIN))
