"""Pristine crops of one size from a folder of photographs.

A photograph is scaled until one side fits and the other is larger or equal, then cropped; the
result is PNG in sRGB. What is too small, damaged, animated, partly transparent, or the same
photograph again is left out. curated.csv lists the crops, rejected.csv what was left out and why. A
stopped run continues with the same command and ends in the same bytes.

Examples, with the photographs that `deepfl demo` lays out:
    deepfl curate deepfl-demo/photographs --out curated --size 192 256
    deepfl curate deepfl-demo/photographs --out salient --size 192 256 --crop salient
"""

from collections.abc import Sequence

from mtl.kadis.curate import CURATED, REJECTED, CurateConfig, curate
from mtl.kadis.pristine import SIZE
from mtl.progress import say
from scripts.command_line import parse

SHOWN = 10  # photographs left out that are named on the screen; the table names them all


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        CurateConfig,
        arguments,
        program="deepfl curate",
        description=__doc__ or "",
        positional=("photos",),
    )
    curation = curate(config, progress=True)
    out, rejected = curation.out, curation.rejected
    for picture in rejected[:SHOWN]:
        say(f"left out: {picture.file}: {picture.reason}")
    if len(rejected) > SHOWN:
        say(f"left out: {len(rejected) - SHOWN} more, in {out / REJECTED}")
    height, width = config.size
    say(
        f"{out}: {len(curation.kept)} crops of {width}×{height}, listed in {out / CURATED};"
        f" {len(rejected)} photographs left out, with reasons in {out / REJECTED}"
        f" ({curation.resumed} were decided before)"
    )
    size = "" if config.size == SIZE else f" --size {height} {width}"
    say(f"next: deepfl generate {out} --out KADIS{size}")
