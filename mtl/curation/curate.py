"""The pristine stage as files: photographs in, crops of one size out, every one accounted for.

A photograph is decoded by the rules of `mtl.curation.photograph`, scaled to span the target size
(`mtl.curation.pristine`) and cropped to it, at the centre or where `mtl.curation.saliency` says.
Left out, each with its reason, are those that are too small, cannot be decoded, or resemble a
photograph that was kept (`mtl.curation.duplicates`): the first by name stays.

Photographs are decided in the order of their names, whatever the number of threads, so that a
stopped run has decided the first so many. `curation.jsonl` holds them: a line with the settings and
the photographs, then a line per photograph, written once its crop is in place. The tables are
written last; where `curated.csv` is, the curation is complete.

SUB/NAME.jpg becomes SUB/NAME.png. Photographs whose names differ in nothing but suffix or case keep
their suffix, NAME.jpg.png and NAME.png.png; one whose file would still overwrite another's, or a
folder, on a disk that does not tell cases apart, is left out.

Whoever has chosen among the photographs beforehand hands over a `Choice`: only the chosen become
crops, named as if all did.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from mtl.curation.duplicates import BITS, DISTANCE, KeptHashes, perceptual_hash
from mtl.curation.photograph import read_photograph
from mtl.curation.pristine import SIZE, centre_offsets, crop, span, spanning_scale, too_small
from mtl.curation.saliency import salient_offsets
from mtl.runtime.apart import check_apart, names_apart
from mtl.runtime.contents import content_digest, content_digests
from mtl.runtime.file_names import too_long
from mtl.runtime.files import UNFINISHED, InputError, write_atomically
from mtl.runtime.folders import contents
from mtl.runtime.pictures import (
    FOREIGN_SUFFIXES,
    Rejected,
    encode_png,
    list_pictures,
    picture_size,
)
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import table_text
from mtl.runtime.threads import in_order

JOURNAL = "curation.jsonl"
CURATED = "curated.csv"
REJECTED = "rejected.csv"
FORMAT = 2  # of curation.jsonl

SCALE_DECIMALS = 6  # of the scale in curated.csv


@dataclass(frozen=True)
class CurateConfig:
    """What to curate, and how. All but the number of threads decides the bytes."""

    photos: Path
    """Folder of photographs (sub-folders are searched)."""
    out: Path
    """Folder for the crops; an unfinished curation with the same settings is continued."""
    size: tuple[int, int] = SIZE
    """Height and width of the crops in pixels."""
    crop: Literal["centre", "salient"] = "centre"
    """centre: the middle. salient: where frontal faces and salient regions stay inside."""
    enlarge: bool = False
    """Scale up what is smaller than the crops, instead of leaving it out."""
    duplicate_distance: int = DISTANCE
    """Bits of 64 up to which two photographs count as one; -1 keeps near-duplicates."""
    num_workers: int | None = None
    """Photographs at a time; one per core when not given."""


@dataclass(frozen=True)
class Choice:
    """Photographs that were chosen before `curate` makes their crops."""

    names: tuple[str, ...]
    """Of the chosen, sorted."""
    rejected: tuple[Rejected, ...]
    """The others, each with its reason."""
    beside: tuple[str, ...]
    """Files and folders that whoever chose keeps in the folder of the crops."""


@dataclass(frozen=True)
class Cropped:
    """A photograph that can be used, scaled and cropped."""

    image: UInt8[np.ndarray, "h w 3"]
    """The crop."""
    shape: tuple[int, int]
    """Height and width of the photograph, as displayed."""
    offsets: tuple[int, int]
    """Top and left of the crop in the scaled photograph."""
    hash: int
    """Perceptual hash of the photograph."""


@dataclass(frozen=True)
class Kept:
    """A photograph that became a crop: a row of curated.csv, and the content of its file."""

    photograph: str
    file: str
    width: int
    """Pixels before, as displayed."""
    height: int
    scale: float
    left: int
    """Pixels from the left edge of the scaled photograph to the crop's."""
    top: int
    hash: str
    """Perceptual hash, 16 hexadecimal digits."""
    content: str
    """SHA-256 of the crop's file."""


@dataclass(frozen=True)
class Curation:
    """What a finished curation holds."""

    out: Path
    kept: tuple[Kept, ...]
    rejected: tuple[Rejected, ...]
    resumed: int
    """Photographs that were decided already."""


def curate(
    config: CurateConfig, choice: Choice | None = None, *, progress: bool = False
) -> Curation:
    """Make the crops, or what is missing of them, and the two tables.

    Args:
        config: what to curate.
        choice: the photographs to take; all when not given.
        progress: report on standard error.

    Raises:
        InputError: bad settings, no usable photograph, or `out` holds something else.
    """
    check(config)
    tell = say if progress and choice is None else None
    names = names_apart(config.photos, list_pictures(config.photos, tell), config.out, tell)
    files = output_files(names)
    if choice is not None:
        names = list(choice.names)
    header = _header(config, names, progress=progress)
    journal = config.out / JOURNAL
    decided = _claim(journal, header, names, () if choice is None else choice.beside)
    resumed = len(decided)

    def made(some: Sequence[str]) -> Generator[tuple[Kept, bytes] | Rejected, None, None]:
        return in_order(lambda n: _candidate(config, n, files[n]), some, config.num_workers)

    with progress_bar(len(names), "curate", "img", show=progress, done=resumed) as bar:
        missing = [k for k in decided if isinstance(k, Kept) and not _in_place(config.out, k)]
        with closing(made([kept.photograph for kept in missing])) as candidates:
            for kept, candidate in zip(missing, candidates, strict=True):
                _restore(config.out, candidate, kept)
        hashes = KeptHashes(len(names))
        for each in decided:
            if isinstance(each, Kept):
                hashes.add(each.photograph, int(each.hash, 16))
        rest = names[resumed:]
        with journal.open("a", encoding="ascii") as lines, closing(made(rest)) as candidates:
            for name, candidate in zip(rest, candidates, strict=True):
                outcome = _decide(config, name, candidate, hashes)
                lines.write(json.dumps(asdict(outcome)) + "\n")
                lines.flush()
                decided.append(outcome)
                bar.update()
    return _finish(config, decided, () if choice is None else choice.rejected, resumed)


def check(config: CurateConfig) -> None:
    """Refuse settings that cannot be.

    Raises:
        InputError: sizes, distances or folders make no sense.
    """
    if min(config.size) < 1:
        raise InputError(f"--size {config.size[0]} {config.size[1]}: give pixels, 1 or more")
    if not -1 <= config.duplicate_distance <= BITS:
        raise InputError(
            f"--duplicate-distance {config.duplicate_distance}: give bits from 0 to {BITS}, or -1"
            " to keep near-duplicates"
        )
    if config.num_workers is not None and config.num_workers < 1:
        raise InputError(f"--num-workers {config.num_workers}: must be at least 1")
    check_apart(config.photos, config.out)


def output_files(names: Sequence[str]) -> dict[str, str | Rejected]:
    """The crop's file for each photograph, by the rule at the top of this module."""
    stems = Counter(_stem(name).casefold() for name in names)
    # A file cannot have the name of a folder.
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    taken = {folder.casefold(): f"the folder {folder}" for folder in folders}
    files: dict[str, str | Rejected] = {}
    for name in names:
        file = f"{name if stems[_stem(name).casefold()] > 1 else _stem(name)}.png"
        long = too_long(file)
        if long is not None:
            files[name] = Rejected(name, long)
        elif file.casefold() in taken:
            other = taken[file.casefold()]
            files[name] = Rejected(
                name, f"its crop {file} would overwrite {other}; rename the photograph"
            )
        else:
            taken[file.casefold()] = f"that of {name}"
            files[name] = file
    return files


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _header(config: CurateConfig, names: Sequence[str], *, progress: bool) -> dict[str, Any]:
    """The first line of the journal: all that decides the bytes, nothing of this machine."""
    contents = content_digests([config.photos / name for name in names], progress=progress)
    return {
        "format": FORMAT,
        "settings": {
            "size": list(config.size),
            "crop": config.crop,
            "enlarge": config.enlarge,
            "duplicate_distance": config.duplicate_distance,
        },
        "photographs": dict(zip(names, contents, strict=True)),
    }


def _claim(
    journal: Path, header: Mapping[str, Any], names: Sequence[str], beside: Sequence[str]
) -> list[Kept | Rejected]:
    """What `out` has decided already; a new journal when there is none but what is `beside` it.

    Raises:
        InputError: `out` holds something else, another curation, or a damaged journal.
    """
    out = journal.parent
    if not journal.exists():
        if out.exists() and (
            not out.is_dir() or any(path.name not in beside for path in out.iterdir())
        ):
            raise InputError(f"{out}: exists and is not a curation; choose another --out")
        write_atomically(journal, json.dumps(header) + "\n")
        return []
    data = journal.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]  # a killed run may leave half a line
    try:
        there, *lines = [json.loads(line) for line in whole.splitlines()]
        settings, photographs = there["settings"], dict(there["photographs"])
        if there["format"] != FORMAT:
            raise InputError(f"{out}: was curated by another version; choose another --out")
        decided = [Kept(**one) if "hash" in one else Rejected(**one) for one in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{journal}: is damaged; delete {out} or choose another --out") from error
    for name, value in header["settings"].items():
        found = settings.get(name)
        if found != value:
            option = name.replace("_", "-")
            raise InputError(
                f"{out}: was curated with {option} {found}, not {value}; choose another --out"
            )
    if photographs != header["photographs"]:
        others = photographs.keys() ^ header["photographs"].keys()
        if others:
            raise InputError(
                f"{out}: was curated from other photographs ({min(others)} has come or gone);"
                " choose another --out"
            )
        changed = min(
            n for n, content in photographs.items() if content != header["photographs"][n]
        )
        raise InputError(
            f"{changed}: is not the photograph that was curated; choose another --out than {out}"
        )
    if [_name(one) for one in decided] != list(names[: len(decided)]):
        raise InputError(f"{journal}: is damaged; delete {out} or choose another --out")
    if whole != data:
        write_atomically(journal, whole)
    for stale in out.rglob(".*.tmp"):  # half a file of a killed run
        if UNFINISHED.fullmatch(stale.name):
            stale.unlink()
    return decided


def _name(outcome: Kept | Rejected) -> str:
    return outcome.photograph if isinstance(outcome, Kept) else outcome.file


def _in_place(out: Path, kept: Kept) -> bool:
    path = out / kept.file
    return path.is_file() and content_digest(path) == kept.content


def _restore(out: Path, made: tuple[Kept, bytes] | Rejected, before: Kept) -> None:
    """Write a crop again that was lost or damaged since it was made."""
    if isinstance(made, Rejected) or made[0] != before:
        raise InputError(
            f"{before.photograph}: is not the photograph that was curated; choose another --out"
        )
    write_atomically(out / before.file, made[1])


def _candidate(
    config: CurateConfig, name: str, file: str | Rejected
) -> tuple[Kept, bytes] | Rejected:
    """The crop of one photograph as PNG; nothing is known yet of the other photographs."""
    if isinstance(file, Rejected):
        return file
    cropped = crop_of(config, name)
    if isinstance(cropped, Rejected):
        return cropped
    data = encode_png(cropped.image)
    scale = round(spanning_scale(cropped.shape, config.size), SCALE_DECIMALS)
    (height, width), (top, left) = cropped.shape, cropped.offsets
    content = hashlib.sha256(data).hexdigest()
    kept = Kept(name, file, width, height, scale, left, top, f"{cropped.hash:016x}", content)
    return kept, data


def crop_of(config: CurateConfig, name: str) -> Cropped | Rejected:
    """One photograph scaled and cropped as the settings say, or why it cannot be used."""
    path = config.photos / name
    try:
        # The header first: most of what is left out need not be decoded.
        reason = too_small(picture_size(path), config.size)
        if reason and not config.enlarge:
            return Rejected(name, f"{reason}, or --enlarge")
        photograph = read_photograph(path)
    except InputError as error:
        return Rejected.of(name, path, error)
    spanned = span(photograph, config.size, enlarge=config.enlarge)
    if config.crop == "salient":
        offsets = salient_offsets(spanned, config.size)
    else:
        offsets = centre_offsets(spanned.shape[:2], config.size)
    height, width = photograph.shape[:2]
    code = perceptual_hash(photograph)
    return Cropped(crop(spanned, offsets, config.size), (height, width), offsets, code)


def duplicate_of(config: CurateConfig, code: int, hashes: KeptHashes) -> str | None:
    """Why a photograph with this hash counts as one that was kept; None when it does not."""
    nearest = hashes.nearest(code)
    if nearest is None or nearest[1] > config.duplicate_distance:
        return None
    return f"near-duplicate of {nearest[0]} ({nearest[1]} of {BITS} bits differ)"


def _decide(
    config: CurateConfig, name: str, made: tuple[Kept, bytes] | Rejected, hashes: KeptHashes
) -> Kept | Rejected:
    """Reject a near-duplicate of what was kept before; put any other crop in its place."""
    if isinstance(made, Rejected):
        return made
    kept, data = made
    reason = duplicate_of(config, int(kept.hash, 16), hashes)
    if reason is not None:
        return Rejected(name, reason)
    write_atomically(config.out / kept.file, data)
    hashes.add(name, int(kept.hash, 16))
    return kept


def _finish(
    config: CurateConfig,
    decided: Sequence[Kept | Rejected],
    before: Sequence[Rejected],
    resumed: int,
) -> Curation:
    """Write the tables; `before` are the photographs that were left out already."""
    out = config.out
    kept = tuple(one for one in decided if isinstance(one, Kept))
    rejected = [one for one in decided if isinstance(one, Rejected)]
    if not kept:
        (out / JOURNAL).unlink()
        if not any(out.iterdir()):
            out.rmdir()
        raise InputError(
            f"{config.photos}: none of its {len(decided)} photographs can be used; the first,"
            f" {rejected[0].file}: {rejected[0].reason}"
        )
    rejected += [*before, *_foreign(config.photos)]
    rejected.sort(key=lambda one: one.file)
    table = [{"photograph": one.file, "reason": one.reason} for one in rejected]
    rows = [{k: v for k, v in asdict(one).items() if k != "content"} for one in kept]
    write_atomically(out / REJECTED, table_text(table) if table else "photograph,reason\n")
    write_atomically(out / CURATED, table_text(rows))
    return Curation(out, kept, tuple(rejected), resumed)


def _foreign(photos: Path) -> list[Rejected]:
    """Return the pictures whose format is not read, each with that as its reason."""
    suffixes = {name: PurePosixPath(name).suffix.lower() for name in contents(photos).files}
    return [
        Rejected(name, f"{suffix} is not read here; convert it to PNG, TIFF or JPEG")
        for name, suffix in suffixes.items()
        if suffix in FOREIGN_SUFFIXES
    ]
