"""Make rated pictures of photographs that nobody rated, with KADID-10k's mean rating per condition.

All types at all levels of each photograph, and a table for `deepfl benchmark`. The rating of a
picture is the mean of KADID-10k's 81 pictures of the same type and level: it tells how annoying the
distortion is, and nothing of the photograph.

Example:
    python -m scripts.rate_conditions held_out --out conditions
    deepfl benchmark conditions/ratings.csv --model run --out benchmark
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse, run_script
from distortions import DISTORTIONS
from mlsp.databases.condition_means import condition_means
from mtl.curation.pristine import pristine_crop
from mtl.file_tools.distort_files import distort_folder
from mtl.kadis.recipes import LEVELS
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import encode_png, list_pictures, read_picture
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import table_text

PRISTINE, DISTORTED, TABLE = "pristine", "distorted", "ratings.csv"


@dataclass(frozen=True)
class ConditionsConfig:
    """Which photographs, and how many."""

    photographs: Path
    """Folder of them."""
    out: Path
    """Folder for pristine/, distorted/ and ratings.csv; what is there is kept."""
    size: tuple[int, int] = (192, 256)
    """Height and width that photographs are scaled and cropped to."""
    limit: int | None = None
    """Photographs to take, in the order of their names; all when not given."""
    seed: int = 0
    """Decides noise, positions and directions."""


def make(config: ConditionsConfig, *, progress: bool = False) -> Path:
    """Write the pictures and the table; returns the table's file.

    Raises:
        InputError: there is no photograph, or one cannot be used.
    """
    names = list_pictures(config.photographs)[: config.limit]
    if not names:
        raise InputError(f"{config.photographs}: holds no photograph")
    pristine = config.out / PRISTINE
    pristine.mkdir(parents=True, exist_ok=True)
    stems = [Path(name).stem for name in names]
    if len(set(stems)) < len(stems):
        raise InputError(f"{config.photographs}: has two photographs of one name; rename one")
    with progress_bar(len(names), "photographs", "img", show=progress) as bar:
        for name, stem in zip(names, stems, strict=True):
            try:
                image = pristine_crop(read_picture(config.photographs / name), config.size)
            except ValueError as error:
                raise InputError(f"{config.photographs / name}: {error}") from error
            write_atomically(pristine / f"{stem}.png", encode_png(image))
            bar.update()
    types = tuple(DISTORTIONS)
    distort_folder(pristine, config.out / DISTORTED, types, LEVELS, config.seed, progress=progress)
    means = condition_means()
    rows = [
        {
            "image": f"{DISTORTED}/{stem}_{number:02d}_{level:02d}.png",
            "score": means[number, level],
            "reference": stem,
            "reference_file": f"{PRISTINE}/{stem}.png",
            "distortion": DISTORTIONS[number].name,
            "level": level,
        }
        for stem in stems
        for number in types
        for level in LEVELS
    ]
    missing = [row["image"] for row in rows if not (config.out / str(row["image"])).is_file()]
    if missing:
        raise InputError(f"{config.out}: {len(missing)} pictures were not made, as {missing[0]}")
    table = config.out / TABLE
    write_atomically(table, table_text(rows))
    return table


def main(arguments: Sequence[str]) -> None:
    """Run the script."""
    config = parse(
        ConditionsConfig,
        arguments,
        program="python -m scripts.rate_conditions",
        description=__doc__ or "",
        positional=("photographs",),
    )
    table = make(config, progress=True)
    say(f"next: deepfl benchmark {table} --model RUN --out benchmark")


if __name__ == "__main__":
    run_script(main, "rate_conditions")
