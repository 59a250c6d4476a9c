"""A KADIS data set from a folder of photographs: pristine crops, distortions, scores, shards.

Runs on all cores of this machine, or on a Ray cluster. A stopped run continues with the same
command and ends in the same bytes.

Example, with the photographs that `deepfl demo` lays out:
    deepfl generate deepfl-demo/photographs --out kadis --size 192 256
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from distortions import DISTORTIONS
from mtl.kadis.generate import generate
from mtl.kadis.making import Tally
from mtl.kadis.plan import GenerateConfig
from mtl.runtime.progress import say


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
    for split, number in summary.images.items():
        if not number:
            say(
                f"{summary.out}: the {split} part is empty, since all its photographs were left"
                " out; replace them, or choose another --seed, in another --out"
            )
    for line in timing(summary.tally):
        say(line)
    say(
        f"next: deepfl verify {summary.out} checks it;"
        f" deepfl train --data {summary.out} --out run trains on it"
    )


def timing(tally: Tally) -> list[str]:
    """Where the workers' time went, by step and by type of distortion; empty if none was made."""
    total = sum(tally.seconds.values())
    if not tally.images:
        return []
    steps = ", ".join(f"{step} {100 * s / total:.0f}%" for step, s in tally.seconds.items())
    mean = {DISTORTIONS[t].name: seconds / images for t, (images, seconds) in tally.types.items()}
    slowest = sorted(mean.items(), key=lambda item: item[1], reverse=True)
    return [
        f"workers' time: {total:.0f} s for {tally.images} images: {steps};"
        f" at most {tally.peak_memory / 1e6:.0f} MB of memory each",
        "seconds of distorting per image: " + ", ".join(f"{name} {s:.3f}" for name, s in slowest),
    ]
