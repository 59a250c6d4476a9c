"""Folders that know what they were made from: one identity per folder of results.

A command that continues its work claims the folder first. A new or empty folder gets a file that
holds the identity: settings, digests of the inputs, a format. A folder that has such a file is
continued by a call with the same identity, and refused to any other, before anything is written.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.runtime.files import InputError, write_atomically


def differing(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], free: Collection[str] = ()
) -> list[str]:
    """Return the names of our settings that have another value in theirs, in our order.

    Args:
        theirs: settings in a folder; what only they have does not count.
        ours: settings of this call.
        free: names that may differ.

    Raises:
        KeyError: they lack one of our settings.
    """
    return [name for name in ours if name not in free and theirs[name] != ours[name]]


def both_values(theirs: Mapping[str, Any], ours: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return what some settings are on either side, such as "seed 0 there, 1 now"."""
    return ", ".join(f"{name} {theirs.get(name)} there, {ours.get(name)} now" for name in names)


def made_with(theirs: Mapping[str, Any], ours: Mapping[str, Any], verb: str = "made") -> str:
    """Return the first setting that differs, such as "was made with seed 0, not 1"; "" if none.

    Raises:
        KeyError: they lack one of our settings.
    """
    for name in differing(theirs, ours):
        return f"was {verb} with {name} {theirs[name]}, not {ours[name]}"
    return ""


def _always() -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Identity:
    """State what a folder is made from, and how it says so."""

    file: str
    """Name of the file in the folder that holds the identity."""
    kind: str
    """Words for such a folder, with their article: "a data set"."""
    value: Mapping[str, Any]
    """The identity, in values that JSON has."""
    text: str | None = None
    """The file's content for a new folder; `value` as JSON when not given. It may hold more."""
    read: Callable[[bytes], Any] = json.loads
    """Returns what corresponds to `value` in the file's bytes."""
    difference: Callable[[Any, Any], str] = made_with
    """(theirs, ours) → in what the identities differ, as a sentence that follows the folder's name;
    "" when ours may continue the folder. It may leave out what is free to differ."""
    begun: Callable[[], bool] = _always
    """Tells whether the folder holds work that another identity would spoil."""
    beside: Collection[str] = ()
    """Names that may lie in a folder before it is claimed."""
    remedy: str = "choose another --out"
    """Ends every message."""


def claimed(folder: Path, identity: Identity) -> bytes | None:
    """Return the identity's file where the folder holds this identity; None where it is new.

    A folder of another identity is new too as long as its work has not begun.

    Raises:
        InputError: the folder holds something else, a damaged identity, or another one; the message
            names the folder, what differs with both values, and the remedy.
    """
    path = folder / identity.file
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or _strangers(folder, identity.beside)):
            raise InputError(f"{folder}: exists and is not {identity.kind}; {identity.remedy}")
        return None
    there = path.read_bytes()
    ours = json.loads(json.dumps(identity.value))  # tuples become lists, as in the file
    try:
        difference = identity.difference(identity.read(there), ours)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is damaged or of another version; delete {folder} or {identity.remedy}"
        ) from error
    if not difference:
        return there
    if not identity.begun():
        return None
    raise InputError(f"{folder}: {difference}; {identity.remedy}")


def claim(folder: Path, identity: Identity) -> bytes | None:
    """Make sure that a folder holds this identity; give it to a new one, whole or not at all.

    Returns:
        The identity's file as it was before; None where the folder was new.

    Raises:
        InputError: as `claimed`; nothing was written.
        OSError: the file cannot be written.
    """
    there = claimed(folder, identity)
    if there is None:
        text = json.dumps(identity.value, indent=1) if identity.text is None else identity.text
        write_atomically(folder / identity.file, text)
    return there


def _strangers(folder: Path, beside: Collection[str]) -> bool:
    return any(path.name not in beside for path in folder.iterdir())
