"""A data set from published scores and the pictures that were scored.

The table is KADIS-700k's kadis700k_friqa.csv or one like it: columns dist_im, ref_im and one per
metric. A distorted picture's name says its distortion and level, I01_05_03.png; I01_colorshift_03
finds it too. Nothing is distorted or scored again, and the seeds, which are not known, are 0. A
stopped run continues with the same command and ends in the same bytes.

Example, with what `deepfl export` writes:
    deepfl export deepfl-demo/kadis --out scores.csv --pictures exported
    deepfl import-scores scores.csv --references exported/ref_imgs --distorted exported/dist_imgs \
--out imported
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from mtl.kadis import MANIFEST
from mtl.published.import_plan import ImportConfig
from mtl.published.importing import import_published
from mtl.runtime.progress import say

SHOWN = 10  # pictures left out that are named on the screen; the manifest names them all


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        ImportConfig,
        arguments,
        program="deepfl import-scores",
        description=__doc__ or "",
        positional=("table",),
    )
    imported = import_published(config, progress=True)
    for picture in imported.rejected[:SHOWN]:
        say(f"left out: {picture.file}: {picture.reason}")
    if len(imported.rejected) > SHOWN:
        more = len(imported.rejected) - SHOWN
        say(f"left out: {more} more, in {imported.out / MANIFEST}")
    images = ", ".join(f"{number} {split}" for split, number in imported.images.items())
    say(
        f"{imported.out}: {images} images in {imported.made + imported.resumed} shards"
        f" ({imported.resumed} were there), scores {' '.join(imported.metrics)};"
        f" {len(imported.rejected)} pictures left out"
    )
    say(f"next: deepfl train --data {imported.out} --out run")
