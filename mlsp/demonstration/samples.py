"""Colour photographs that ship inside scikit-image and scikit-learn; nothing is downloaded."""

import shutil
from importlib import resources
from pathlib import Path

from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError, whole_file

# File name, package, folder in the package. All are photographs (one of them through a telescope,
# one through a microscope, one of a retina); the second view of the motorcycle is left out because
# it shows the same content.
PHOTOGRAPHS: tuple[tuple[str, str, str], ...] = (
    ("astronaut.png", "skimage", "data"),
    ("chelsea.png", "skimage", "data"),
    ("china.jpg", "sklearn", "datasets/images"),
    ("coffee.png", "skimage", "data"),
    ("flower.jpg", "sklearn", "datasets/images"),
    ("hubble_deep_field.jpg", "skimage", "data"),
    ("ihc.png", "skimage", "data"),
    ("motorcycle_left.png", "skimage", "data"),
    ("retina.jpg", "skimage", "data"),
    ("rocket.jpg", "skimage", "data"),
)


def copy_photographs(folder: Path) -> list[Path]:
    """Copy the sample photographs into a folder; those already there stay as they are.

    Raises:
        InputError: another file has the name of one of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for name, package, place in PHOTOGRAPHS:
        copy = folder / name
        with resources.as_file(resources.files(package) / place / name) as original:
            if not copy.exists():
                with original.open("rb") as data, whole_file(copy) as file:
                    shutil.copyfileobj(data, file)
            elif content_digest(copy) != content_digest(original):
                raise InputError(
                    f"{copy}: is not the sample photograph of that name; delete it, or choose"
                    " another --out"
                )
        copies.append(copy)
    return copies
