"""What a data set of published scores will hold: the table and the pictures' files, looked at.

Files are digested; nothing is decoded yet but the headers of the references, whose most common size
is the data set's.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from mtl.kadis.names import files_of
from mtl.kadis.origins import PUBLISHED, Imported
from mtl.kadis.plan import check_layout, check_workers
from mtl.kadis.recipes import split_references
from mtl.kadis.shards import plan_shards
from mtl.published.import_table import Entry, ScoreTable, read_score_table
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError, file_digest
from mtl.runtime.pictures import Rejected, picture_size
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.finder import Finder
from mtl.runtime.threads import in_order


@dataclass(frozen=True)
class ImportConfig:
    """What to import. All but the number of threads decides the bytes."""

    table: Path
    """CSV file of scores with the columns dist_im and ref_im and one per metric."""
    references: Path
    """Folder of the pictures in the column ref_im."""
    distorted: Path
    """Folder of the pictures in the column dist_im."""
    out: Path
    """Folder for the data set; an unfinished one of the same files is continued."""
    metrics: tuple[str, ...] = ()
    """Scores to keep; all that the table has when not given."""
    validation: float = 1 / 7
    """Share of the references in the validation split."""
    shards: int = 8
    """Number of files over both splits."""
    seed: int = 0
    """Decides the split."""
    license: str = "not stated: that of the published pictures"
    """Goes into dataset_info.json: under what terms the data set may be used."""
    num_workers: int | None = None
    """Pictures at a time; one per core when not given."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A distorted picture that is there."""

    entry: Entry
    file: str
    """Name in the folder of distorted pictures."""
    content: str
    """SHA-256 of the file."""


@dataclass(frozen=True)
class _Found:
    """A reference and its distorted pictures, as far as their files go."""

    file: str
    """The reference's, as the disk spells it."""
    size: tuple[int, int]
    bytes: int
    content: str
    pictures: tuple[Picture, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, kw_only=True)
class ImportPlan(Imported):
    """Hold what `deepfl import-scores` is going to make, and of which files."""

    config: ImportConfig
    scores: Float32[np.ndarray, "n k"]
    pictures: Mapping[str, tuple[Picture, ...]]
    """By reference, by type and level."""


def plan_import(config: ImportConfig, *, progress: bool = False) -> ImportPlan:
    """Read the table, look at the pictures' files, and decide everything.

    Raises:
        InputError: a setting is out of range, the table cannot be used, or no picture can.
    """
    check_layout(config.validation, config.shards, config.seed)
    check_workers(config.num_workers)
    for folder in (config.references, config.distorted):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give the one that holds the pictures")
    say(f"reading {config.table} ...", show=progress)
    table = read_score_table(config.table, config.metrics)
    rejected = list(table.rejected)
    references = sorted(table.entries)
    finders = Finder(config.references), Finder(config.distorted)
    with (
        progress_bar(len(references), "look at pictures", "reference", show=progress) as bar,
        closing(
            in_order(partial(_look, finders, table), references, config.num_workers)
        ) as looked_at,
    ):
        found = {}
        for reference, what in zip(references, looked_at, strict=True):
            found[reference] = what
            bar.update()
    _check_spellings(config, found)
    sizes_seen = Counter(what.size for what in found.values() if isinstance(what, _Found))
    size = sizes_seen.most_common(1)[0][0] if sizes_seen else (0, 0)
    sizes, contents, pictures = {}, {}, {}
    for reference, what in found.items():
        if isinstance(what, _Found) and what.size == size:
            rejected += what.rejected
            if what.pictures:
                sizes[reference], contents[reference] = what.bytes, what.content
                pictures[reference] = what.pictures
            continue
        reason = other_size(what.size, size) if isinstance(what, _Found) else what
        rejected += [
            Rejected(entry.name, f"its reference {reference} {reason}")
            for entry in table.entries[reference]
        ]
    if not pictures:
        first = rejected[0]
        raise InputError(
            f"{config.table}: none of its {len(rejected)} pictures can be used;"
            f" the first, {first.file}: {first.reason}"
        )
    shards = plan_shards(
        split_references(list(sizes), config.validation, config.seed), config.shards
    )
    versions = {name: [p.entry.version for p in each] for name, each in pictures.items()}
    types = [{version.distortion for version in each} for each in versions.values()]
    levels = {version.level for each in versions.values() for version in each}
    return ImportPlan(
        config=config,
        scores=table.scores,
        pictures=pictures,
        folder=config.out,
        recipe=PUBLISHED,
        types=tuple(sorted(set().union(*types))),
        types_per_reference=max(map(len, types)),
        levels=tuple(sorted(levels)),
        size=size,
        metrics=table.metrics,
        validation=config.validation,
        seed=config.seed,
        store="pixels",
        license=config.license,
        table=file_digest(config.table),
        distorted=_digest(pictures),
        sizes=sizes,
        contents=contents,
        shards=tuple(shards),
        rejected=tuple(rejected),
    )


def _digest(pictures: Mapping[str, tuple[Picture, ...]]) -> str:
    """SHA-256 of the names and contents of the distorted pictures' files."""
    digest = hashlib.sha256()
    for each in pictures.values():
        for picture in each:
            line = f"{picture.file}\n{picture.content}\n"
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _look(finders: tuple[Finder, Finder], table: ScoreTable, reference: str) -> _Found | str:
    """A reference's files; what is wrong with it where it cannot be used."""
    of_references, of_distorted = finders
    there = of_references.first_file([reference]) or reference
    path = of_references.root / there
    try:
        size = picture_size(path)
        number_of_bytes, content = path.stat().st_size, content_digest(path)
    except (InputError, OSError) as error:
        return str(error).removeprefix(f"{path}: ")
    pictures, rejected = [], []
    for entry in sorted(table.entries[reference], key=_type_and_level):
        file = _file_of(of_distorted, entry)
        if isinstance(file, Rejected):
            rejected.append(file)
        else:
            pictures.append(file)
    return _Found(there, size, number_of_bytes, content, tuple(pictures), tuple(rejected))


def _check_spellings(config: ImportConfig, found: Mapping[str, _Found | str]) -> None:
    """Refuse a file that the table names in two ways, which might be in both splits."""
    named: dict[Path, dict[str, str]] = {config.references: {}, config.distorted: {}}
    for reference, what in found.items():
        if not isinstance(what, _Found):
            continue
        files = [(config.references, what.file, reference)]
        files += [(config.distorted, p.file, p.entry.name) for p in what.pictures]
        for folder, file, name in files:
            earlier = named[folder].setdefault(file, name)
            if earlier != name:
                raise InputError(
                    f"{config.table}: {earlier} and {name} are both {folder / file}; write one of"
                    " them in all rows, or remove the rows of one"
                )


def _type_and_level(entry: Entry) -> tuple[int, int]:
    return entry.version.distortion, entry.version.level


def _file_of(finder: Finder, entry: Entry) -> Picture | Rejected:
    """The file of a distorted picture, under any name that it may have."""
    file = finder.first_file(files_of(entry.name))
    if file is None:
        return Rejected(entry.name, "no such file")
    path = finder.root / file
    try:
        return Picture(entry, file, content_digest(path))
    except InputError as error:
        return Rejected.of(entry.name, path, error)


def other_size(size: tuple[int, ...], wanted: tuple[int, int]) -> str:
    """Why a picture of one size is not taken among those of another."""
    return f"is {size[1]}×{size[0]}; most references are {wanted[1]}×{wanted[0]}"
