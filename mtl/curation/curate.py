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
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from mtl.curation.crops import (
    CurateConfig,
    check,
    crop_of,
    duplicate_of,
    output_files,
)
from mtl.curation.duplicates import KeptHashes
from mtl.curation.journal import JOURNAL, Kept, open_journal
from mtl.curation.pristine import spanning_scale
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.paths.apart import names_apart
from mtl.runtime.paths.folders import contents
from mtl.runtime.pictures import FOREIGN_SUFFIXES, Rejected, encode_png, list_pictures
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import table_text
from mtl.runtime.threads import in_order

CURATED = "curated.csv"
REJECTED = "rejected.csv"

SCALE_DECIMALS = 6  # of the scale in curated.csv


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
    beside = () if choice is None else choice.beside
    decided = open_journal(config, names, beside, progress=progress)
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
        with (
            (config.out / JOURNAL).open("a", encoding="ascii") as lines,
            closing(made(rest)) as candidates,
        ):
            for name, candidate in zip(rest, candidates, strict=True):
                outcome = _decide(config, name, candidate, hashes)
                lines.write(json.dumps(asdict(outcome)) + "\n")
                lines.flush()
                decided.append(outcome)
                bar.update()
    return _finish(config, decided, () if choice is None else choice.rejected, resumed)


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
