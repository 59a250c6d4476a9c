"""Distorted versions of picture files, as PNG files."""

from collections.abc import Sequence
from pathlib import Path

from distortions import distort
from mtl.files import InputError, write_atomically
from mtl.kadis.names import exported_stems, too_long, version_name
from mtl.kadis.recipes import named_seed
from mtl.pictures import Rejected, encode_png, list_pictures, read_picture
from mtl.progress import progress_bar, say


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

    Pictures whose names differ in their suffix alone keep it, as `exported_stems` says. Sub-folders
    are kept. Files that are there already are left as they are, so a stopped run
    continues. Noise and positions are seeded by the picture's name, the type and the level.

    Returns:
        How many files are there now, and the pictures that could not be used.

    Raises:
        InputError: the folder is missing or empty, or none of its pictures can be read.
    """
    names = list_pictures(photos, say if progress else None)
    stems = exported_stems(names)
    there, rejected = 0, []
    with progress_bar(
        len(names) * len(types) * len(levels), "distort", "img", show=progress
    ) as bar:
        for name in names:
            versions = [
                (t, level, out / version_name(stems[name], t, level))
                for t in types
                for level in levels
            ]
            try:
                reason = too_long(versions[0][2].name)  # all are as long
                if reason is not None:
                    raise InputError(f"{photos / name}: {reason}")
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
