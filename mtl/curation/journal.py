"""The journal of a curation: what it was made from, and what was decided so far.

The first line holds the settings and the SHA-256 of every photograph. Each further line is a
photograph that was kept or left out, in the order of the names. A killed run may leave half a line,
which is dropped.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtl.curation.crops import CurateConfig
from mtl.runtime.claims import Identity, claim, made_with
from mtl.runtime.contents import content_digests
from mtl.runtime.files import UNFINISHED, InputError, write_atomically
from mtl.runtime.pictures import Rejected

JOURNAL = "curation.jsonl"
FORMAT = 2  # of curation.jsonl


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


def open_journal(
    config: CurateConfig,
    names: Sequence[str],
    beside: Sequence[str] = (),
    *,
    progress: bool = False,
) -> list[Kept | Rejected]:
    """Begin the journal of a curation, or read what it has decided already.

    Args:
        config: the settings; the journal lies in `config.out`.
        names: of the photographs to decide, in order.
        beside: files and folders that may lie in a new folder.
        progress: report on standard error.

    Raises:
        InputError: the folder holds something else, another curation, or a damaged journal.
    """
    out, header = config.out, _header(config, names, progress=progress)
    journal = out / JOURNAL
    identity = Identity(
        file=JOURNAL,
        kind="a curation",
        value=header,
        text=json.dumps(header) + "\n",
        read=lambda data: json.loads(_whole(data).splitlines()[0]),
        difference=_difference,
        beside=beside,
    )
    data = claim(out, identity)
    if data is None:
        return []
    try:
        lines = [json.loads(line) for line in _whole(data).splitlines()[1:]]
        decided = [Kept(**one) if "hash" in one else Rejected(**one) for one in lines]
    except (ValueError, TypeError) as error:
        raise InputError(f"{journal}: is damaged; delete {out} or choose another --out") from error
    if [_name(one) for one in decided] != list(names[: len(decided)]):
        raise InputError(f"{journal}: is damaged; delete {out} or choose another --out")
    if _whole(data) != data:
        write_atomically(journal, _whole(data))
    for stale in out.rglob(".*.tmp"):  # half a file of a killed run
        if UNFINISHED.fullmatch(stale.name):
            stale.unlink()
    return decided


def _header(config: CurateConfig, names: Sequence[str], *, progress: bool) -> dict[str, Any]:
    """Return the journal's first line: all that decides the bytes, nothing of this machine."""
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


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Say in what the curation in a folder is another one."""
    before, now = theirs["photographs"], ours["photographs"]
    if theirs["format"] != FORMAT:
        return "was curated by another version"
    options = [
        {name.replace("_", "-"): value for name, value in header["settings"].items()}
        for header in (theirs, ours)
    ]
    other_settings = made_with(*options, verb="curated")
    if other_settings or before == now:
        return other_settings
    others = before.keys() ^ now.keys()
    if others:
        return f"was curated from other photographs ({min(others)} has come or gone)"
    changed = min(name for name, content in before.items() if content != now[name])
    return f"{changed}: is not the photograph that was curated"


def _whole(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]


def _name(outcome: Kept | Rejected) -> str:
    return outcome.photograph if isinstance(outcome, Kept) else outcome.file
