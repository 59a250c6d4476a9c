"""Claim a folder of exported pictures, and note of which data set it is and what was written.

export.json names the data set's plan and the split. pictures.jsonl has a line for each file: its
name and its SHA-256.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl.kadis.manifest import plan_digest
from mtl.runtime.claims import Identity, claim
from mtl.runtime.files import InputError, write_atomically

MARK = "export.json"
JOURNAL = "pictures.jsonl"
FORMAT = 1  # of export.json


def claim_pictures(pictures: Path, plan: Mapping[str, Any], split: str | None) -> None:
    """Mark a folder as that of a data set's pictures, or make sure that it is.

    Args:
        pictures: the folder.
        plan: of the data set's manifest.
        split: the split whose pictures they are; None for all.

    Raises:
        InputError: it holds something else, or pictures of another data set or split.
    """
    known: dict[str, Any] = {"format": FORMAT, "plan": plan_digest(plan)}
    if split is not None:
        known["split"] = split
    claim(
        pictures,
        Identity(
            file=MARK,
            kind="an export",
            value=known,
            text=json.dumps(known),
            difference=_other_pictures,
            remedy="choose other --pictures",
        ),
    )


def _other_pictures(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    if theirs == ours:
        return ""
    if theirs["plan"] != ours["plan"]:
        return "holds another data set's pictures"
    if theirs.get("split") == ours.get("split"):
        return "was exported by another version"
    whose = f"the {theirs['split']} split" if "split" in theirs else "both splits"
    return f"holds the pictures of {whose}, those of another --split"


def noted_pictures(pictures: Path) -> dict[str, str]:
    """Return what an export noted of the files that it has written: SHA-256 by name.

    Half a line of a killed export is dropped.

    Raises:
        InputError: the notes are damaged.
    """
    journal = pictures / JOURNAL
    if not journal.exists():
        return {}
    data = journal.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]  # a killed run may leave half a line
    try:
        noted = {str(name): str(content) for name, content in map(json.loads, whole.splitlines())}
    except (ValueError, TypeError) as error:
        raise InputError(f"{journal}: is damaged; delete it and export again") from error
    if whole != data:
        write_atomically(journal, whole)
    return noted
