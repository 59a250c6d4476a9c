"""How uniform a choice of `deepfl curate --diverse` is, as a table and a picture for publication.

Example:
    python -m scripts.report_choosing CHOSEN --out results/choosing.csv
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse, run_script
from mlsp.choosing.results import HISTOGRAMS_FILE, STATE_FILE
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import table_text
from scripts.provenance import provenance


@dataclass(frozen=True)
class ReportConfig:
    """What to report."""

    chosen: Path
    """Folder that `deepfl curate --diverse` wrote."""
    out: Path = Path("results/choosing.csv")
    """CSV file to write; the picture goes beside it, with the ending .png."""


def main(arguments: Sequence[str]) -> None:
    """Run the script."""
    config = parse(
        ReportConfig,
        arguments,
        program="python -m scripts.report_choosing",
        description=__doc__ or "",
        positional=("chosen",),
    )
    path = config.chosen / STATE_FILE
    try:
        result = json.loads(path.read_text())["result"]
        counts = {
            name: result[name]
            for name in ("photographs", "usable", "trimmed", "selected", "chosen")
        }
        programme = {name: result[name] for name in ("value", "bound", "gap")}
        rows = [
            {"indicator": name, **uniform, **counts, **programme}
            for name, uniform in result["uniformity"].items()
        ]
        picture = (config.chosen / HISTOGRAMS_FILE).read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is not that of a finished choice; run `deepfl curate --diverse` (again)"
        ) from error
    origin = provenance(("numpy", "scipy", "scikit-learn", "jax"))
    write_atomically(config.out, table_text([{**row, **origin} for row in rows]))
    write_atomically(config.out.with_suffix(".png"), picture)
    say(f"{config.out}: uniformity of {len(rows)} indicators")


if __name__ == "__main__":
    run_script(main, "report_choosing")
