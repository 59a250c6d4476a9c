"""The folder of a run: whose it is, and what of its files any program may read.

    RUN/config.json log.csv learning.png tensorboard/ checkpoints/ model/

`model/` is the self-contained export of the best epoch so far; `checkpoints/` is what a stopped run
continues from, at the step where it stopped. A file RUN/stop, made by anyone, stops the run.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtl.runtime import claims
from mtl.runtime.claims import Identity, both_values
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.stopping import STOP_FILE
from mtl.runtime.tables.csv_tables import read_table

CONFIG_FILE, LOG_FILE, CHECKPOINTS = "config.json", "log.csv", "checkpoints"


def claim(
    out: Path,
    ours: Mapping[str, Any],
    differing: Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]],
) -> None:
    """Write a run's settings into its folder, or make sure that the run there is this one.

    Args:
        out: the folder.
        ours: the settings.
        differing: (ours, theirs) → names of the settings that make them different runs.

    Raises:
        InputError: the folder holds something else.
    """
    if claims.claim(out, _identity(out, ours, differing)) is not None:
        write_atomically(out / CONFIG_FILE, json.dumps(ours, indent=1))  # what is free to differ
    (out / STOP_FILE).unlink(missing_ok=True)


def check_claim(
    out: Path,
    ours: Mapping[str, Any],
    differing: Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]],
) -> None:
    """Refuse a folder that `claim` would refuse; nothing is written.

    Raises:
        InputError: the folder holds something else.
    """
    claims.claimed(out, _identity(out, ours, differing))


def _identity(
    out: Path,
    ours: Mapping[str, Any],
    differing: Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]],
) -> Identity:
    def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
        names = differing(ours, theirs)
        if not names:
            return ""
        values = both_values(theirs, ours, names)
        return f"holds a run with another {' and '.join(names)} ({values})"

    def begun() -> bool:
        kept = out / CHECKPOINTS
        return (out / LOG_FILE).exists() or (kept.is_dir() and any(kept.iterdir()))

    return Identity(file=CONFIG_FILE, kind="a run", value=ours, difference=difference, begun=begun)


def read_log(run: Path) -> list[dict[str, float]]:
    """Return the rows of a run's log.csv; empty when no epoch has ended yet.

    Raises:
        InputError: the log is damaged.
    """
    path = run / LOG_FILE
    if not path.exists():
        return []
    try:
        return [
            {name: row.number(name, finite=False) for name in row}
            for row in read_table(path, ("epoch", "validation_loss"))
        ]
    except InputError as error:
        raise InputError(f"{path}: is damaged: {str(error).removeprefix(f'{path}: ')}") from error
