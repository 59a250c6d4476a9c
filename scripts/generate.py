"""A KADIS data set from a folder of photographs: pristine crops, distortions, scores, shards.

Runs on all cores of this machine, or on a Ray cluster. A stopped run continues with the same
command and ends in the same bytes.

Example, with the photographs that `deepfl demo` lays out:
    deepfl generate deepfl-demo/photographs --out kadis --size 192 256
"""

from collections.abc import Sequence

from mtl.kadis.generate import generate
from mtl.kadis.plan import GenerateConfig
from mtl.progress import say
from scripts.command_line import parse


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        GenerateConfig,
        arguments,
        program="deepfl generate",
        description=__doc__ or "",
        positional=("photos",),
    )
    summary = generate(config, progress=True)
    for picture in summary.rejected:
        say(f"left out: {picture.file}: {picture.reason}")
    images = ", ".join(f"{number} {split}" for split, number in summary.images.items())
    say(
        f"{summary.out}: {images} images in {summary.made + summary.resumed} shards"
        f" ({summary.resumed} were there); {len(summary.rejected)} pictures left out"
    )
    say(f"next: deepfl train --data {summary.out} --out run")
