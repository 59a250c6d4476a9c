"""Distorted versions of picture files, as PNG files."""

from collections.abc import Sequence
from pathlib import Path

from distortions import DISTORTIONS, distort
from mtl.files import InputError, write_atomically
from mtl.kadis.recipes import LEVELS, named_seed
from mtl.pictures import Rejected, encode_png, list_pictures, read_picture
from mtl.progress import progress_bar


def chosen_types(names: Sequence[str]) -> tuple[int, ...]:
    """Ids of distortions given by name or id, ascending; all of them when none is given.

    Raises:
        InputError: one is not known.
    """
    by_name = {d.name: i for i, d in DISTORTIONS.items()}
    chosen = set()
    for name in names:
        identity = int(name) if name.isdecimal() else by_name.get(name)
        if identity not in DISTORTIONS:
            known = " ".join(f"{i}:{d.name}" for i, d in DISTORTIONS.items())
            raise InputError(f"{name}: is not a distortion; known are {known}")
        chosen.add(identity)
    return tuple(sorted(chosen)) or tuple(DISTORTIONS)


def chosen_levels(levels: Sequence[int]) -> tuple[int, ...]:
    """Levels ascending and once each; all five when none is given.

    Raises:
        InputError: one is not in 1..5.
    """
    for level in levels:
        if level not in LEVELS:
            raise InputError(f"level {level}: levels are 1 (mildest) to 5")
    return tuple(sorted(set(levels))) or LEVELS


def distort_file(photo: Path, out: Path, distortion: int, level: int, seed: int) -> None:
    """Write one distorted version of one picture to `out` as PNG.

    Raises:
        InputError: the picture cannot be read, or `out` does not end in .png.
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: the result is lossless; give a name that ends in .png")
    write_atomically(out, encode_png(distort(read_picture(photo), distortion, level, seed=seed)))


def distort_folder(
    photos: Path,
    out: Path,
    types: Sequence[int],
    levels: Sequence[int],
    seed: int,
    *,
    progress: bool = False,
) -> tuple[int, list[Rejected]]:
    """Write NAME_TYPE_LEVEL.png (KADID's scheme) for each picture, type and level.

    Sub-folders are kept. Files that are there already are left as they are, so a stopped run
    continues. Noise and positions are seeded by the picture's name, the type and the level.

    Returns:
        How many files are there now, and the pictures that could not be used.

    Raises:
        InputError: the folder is missing or empty, or none of its pictures can be read.
    """
    names = list_pictures(photos)
    there, rejected = 0, []
    with progress_bar(
        len(names) * len(types) * len(levels), "distort", "img", show=progress
    ) as bar:
        for name in names:
            versions = [
                (t, level, out / Path(name).parent / f"{Path(name).stem}_{t:02d}_{level:02d}.png")
                for t in types
                for level in levels
            ]
            try:
                image = read_picture(photos / name)
            except InputError as error:
                rejected.append(Rejected(name, str(error)))
                bar.update(len(versions))
                continue
            for t, level, file in versions:
                if not file.exists():
                    distorted = distort(image, t, level, seed=named_seed(seed, name, t, level))
                    write_atomically(file, encode_png(distorted))
                there += 1
                bar.update()
    if not there:
        raise InputError(
            f"{photos}: none of its {len(names)} pictures can be read; the first,"
            f" {rejected[0].reason}"
        )
    return there, rejected
