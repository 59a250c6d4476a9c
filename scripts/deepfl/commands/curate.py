"""Pristine crops of one size from a folder of photographs.

A photograph is scaled until one side fits and the other is larger or equal, then cropped; the
result is PNG in sRGB. What is too small, damaged, animated, partly transparent, or the same
photograph again is left out. curated.csv lists the crops, rejected.csv what was left out and why. A
stopped run continues with the same command and ends in the same bytes.

With --diverse K, a balanced set of K photographs is chosen as KonIQ-10k was: bitrate, resolution,
JPEG quality, brightness, colourfulness, contrast, sharpness and content spread as uniformly as the
photographs allow, extremes trimmed, near-duplicates removed. indicators.csv holds what was
measured, histograms.png shows it before and after, choosing.json says how near the choice is to the
best. --tags TABLE.csv first leaves a share of the photographs that covers all tags.

Examples, with the photographs that `deepfl demo` lays out:
    deepfl curate deepfl-demo/photographs --out curated --size 192 256
    deepfl curate deepfl-demo/photographs --out salient --size 192 256 --crop salient
    deepfl curate deepfl-demo/photographs --out diverse --size 192 256 --diverse 6
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from mlsp.choosing import Chosen, DiverseConfig, curate_diverse
from mlsp.choosing.results import HISTOGRAMS_FILE, INDICATORS_FILE
from mlsp.choosing.settings import only_for_diverse
from mtl.curation.curate import CURATED, REJECTED, Curation, curate
from mtl.curation.pristine import SIZE
from mtl.runtime.files import InputError
from mtl.runtime.progress import say

SHOWN = 10  # photographs left out that are named on the screen; the table names them all


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        DiverseConfig,
        arguments,
        program="deepfl curate",
        description=__doc__ or "",
        positional=("photos",),
    )
    if config.diverse is None:
        given = only_for_diverse(config)
        if given:
            raise InputError(f"{given[0]}: means something only with --diverse K")
        curation = curate(config, progress=True)
        for picture in curation.rejected[:SHOWN]:
            say(f"left out: {picture.file}: {picture.reason}")
        if len(curation.rejected) > SHOWN:
            say(f"left out: {len(curation.rejected) - SHOWN} more, in {curation.out / REJECTED}")
        _summary(curation, config.size)
        return
    chosen = curate_diverse(config, progress=True)
    _choice(chosen)
    _summary(chosen.curation, config.size)


def _choice(chosen: Chosen) -> None:
    """What a balanced choice came to."""
    for name, uniform in chosen.uniformity.items():
        say(
            f"{name}: uniformity {uniform.before:.3f}, of the chosen {uniform.after:.3f}, of a"
            f" random choice {uniform.random:.3f}"
        )
    kept, out = len(chosen.curation.kept), chosen.curation.out
    say(
        f"{chosen.usable} of {chosen.photographs} photographs usable, {chosen.trimmed} trimmed;"
        f" {chosen.selected} chosen, {chosen.selected - kept} of them left out as near-duplicates"
    )
    say(
        f"programme: value {chosen.value:g}, no choice is below {chosen.bound:g}: gap"
        f" {chosen.gap:.2%}"
    )
    say(f"{out / INDICATORS_FILE}, {out / HISTOGRAMS_FILE}: the indicators before and after")


def _summary(curation: Curation, size: tuple[int, int]) -> None:
    """What was made, and what to do next."""
    out, (height, width) = curation.out, size
    say(
        f"{out}: {len(curation.kept)} crops of {width}×{height}, listed in {out / CURATED};"
        f" {len(curation.rejected)} photographs left out, with reasons in {out / REJECTED}"
        f" ({curation.resumed} were decided before)"
    )
    option = "" if size == SIZE else f" --size {height} {width}"
    say(f"next: deepfl generate {out} --out KADIS{option}")
