"""KADID's distortions of your own pictures, at levels 1 (mildest) to 5.

One photograph without --type: a contact sheet of everything. One photograph with one --type and one
--level: that version. A folder: NAME_TYPE_LEVEL.png for all types and levels asked for; a version
of another photograph of that name, or with another seed, is made again.

Examples:
    deepfl distort deepfl-demo/photographs/chelsea.png --out sheet.png
    deepfl distort deepfl-demo/photographs/chelsea.png --type lens_blur --level 3 --out blurred.png
    deepfl distort deepfl-demo/photographs --type jpeg --out jpegs
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse
from mtl.file_tools.distort_files import distort_file, distort_folder
from mtl.kadis.recipes import chosen_levels, chosen_types
from mtl.runtime.extras import FIGURES, needs
from mtl.runtime.files import InputError
from mtl.runtime.paths.outputs import check_output, check_output_folder
from mtl.runtime.pictures import read_picture
from mtl.runtime.progress import say


@dataclass(frozen=True)
class DistortConfig:
    """What to distort, and how."""

    photo: Path
    """A picture, or a folder of pictures."""
    out: Path
    """PNG file for one picture, folder for a folder."""
    type: tuple[str, ...] = ()
    """Distortions by name or id; all of them when not given."""
    level: tuple[int, ...] = ()
    """Levels 1..5; all of them when not given."""
    seed: int = 0
    """Decides noise, positions and directions."""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        DistortConfig,
        arguments,
        program="deepfl distort",
        description=__doc__ or "",
        positional=("photo",),
    )
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: must be 0 or more")
    types, levels = chosen_types(config.type), chosen_levels(config.level)
    if config.photo.is_dir():
        check_output_folder(config.out)
    else:
        check_output(config.out, [config.photo])
    if config.photo.is_dir():
        there, rejected = distort_folder(
            config.photo, config.out, types, levels, config.seed, progress=True
        )
        for picture in rejected:
            say(f"left out: {picture.reason}")
        say(f"{config.out}: {there} pictures; {len(rejected)} photographs left out")
        say(f"next: deepfl score {config.photo} {config.out}")
    elif not config.type and not config.level:
        if config.out.suffix.lower() != ".png":
            raise InputError(f"{config.out}: the contact sheet is a PNG; end the name in .png")
        needs("the contact sheet", "report", only=FIGURES)
        from mlsp.figures.sheets import contact_sheet

        photo = read_picture(config.photo)
        say("distorting the photograph in all types at all levels ...")
        contact_sheet(config.out, photo, seed=config.seed)
        say(f"{config.out}: contact sheet of {config.photo}")
    elif len(types) == len(levels) == 1:
        distort_file(config.photo, config.out, types[0], levels[0], config.seed)
        say(f"{config.out}: {config.photo} with type {types[0]} at level {levels[0]}")
    else:
        raise InputError(
            "one picture takes one --type and one --level, or neither for a contact sheet"
        )
