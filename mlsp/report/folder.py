"""The folder of a report, which holds the report's own files and no others."""

import re
from pathlib import Path

from mlsp.report.web_page import GENERATOR
from mtl.runtime.files import InputError

PAGE = "index.html"

# The names of a report's files. A folder that holds others is refused.
OURS = re.compile(
    r"index\.html|(distortions|histograms|learning|ranking|((scatter|cross|networks|worst)(-\d+)*))\.png"
    r"|benchmark-\d+-\w+\.csv"
)


def make_folder(out: Path) -> None:
    """Make the folder if it is not there.

    Raises:
        InputError: it is a file, or holds other files than those of an earlier report.
    """
    another = "choose another --out"
    if not out.exists():
        out.mkdir(parents=True)
        return
    if not out.is_dir():
        raise InputError(f"{out}: is a file; {another}")
    others = [path.name for path in sorted(out.iterdir()) if not OURS.fullmatch(path.name)]
    others = [name for name in others if not name.endswith(".tmp")]  # of a call that was killed
    there = out / PAGE
    if there.is_file() and GENERATOR not in there.read_text(errors="replace"):
        others.append(PAGE)
    if others:
        raise InputError(f"{out}: holds {others[0]}, which is not of a report; {another}")


def tidy(out: Path, written: str) -> None:
    """Delete the files of an earlier report that the page, whose text is given, does not show."""
    for path in out.iterdir():
        if path.name != PAGE and OURS.fullmatch(path.name) and f'"{path.name}"' not in written:
            path.unlink()
