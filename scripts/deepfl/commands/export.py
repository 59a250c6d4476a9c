"""The scores of a data set as KADIS-700k publishes its own, with the pictures if wanted.

The table has the columns dist_im and ref_im, then one per metric. SUB/NAME.jpg is SUB/NAME.png in
it, and SUB/NAME_05_03.png with distortion 5 at level 3; photographs whose names differ in nothing
but suffix or case keep the suffix, NAME.jpg.png. --pictures writes these files into dist_imgs and
ref_imgs; a stopped export continues with the same command, and writes changed files again.

Examples, with the data set that `deepfl demo` makes:
    deepfl export deepfl-demo/kadis --out scores.csv
    deepfl export deepfl-demo/kadis --out scores.csv --pictures exported
    deepfl score exported/ref_imgs exported/dist_imgs --metrics ssim --against scores.csv
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from mtl.published.export import DISTORTED_FOLDER, REFERENCE_FOLDER, ExportConfig, export
from mtl.runtime.progress import say

SHOWN = 10  # references left out that are named on the screen


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        ExportConfig,
        arguments,
        program="deepfl export",
        description=__doc__ or "",
        positional=("data",),
    )
    exported = export(config, progress=True)
    for reference in exported.rejected[:SHOWN]:
        say(f"left out: {reference.file}: {reference.reason}")
    if len(exported.rejected) > SHOWN:
        say(f"left out: {len(exported.rejected) - SHOWN} more references")
    say(f"{exported.table}: scores of {exported.images} images")
    if config.pictures is None:
        return
    distorted, references = config.pictures / DISTORTED_FOLDER, config.pictures / REFERENCE_FOLDER
    say(
        f"{config.pictures}: {exported.images} pictures in {DISTORTED_FOLDER},"
        f" {exported.references} in {REFERENCE_FOLDER}; {len(exported.rejected)} left out"
    )
    if exported.references:
        say(f"next: deepfl score {references} {distorted} --against {exported.table}")
