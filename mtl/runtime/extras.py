"""Libraries that only some commands use, and the extras of the package that bring them."""

from collections.abc import Sequence
from importlib.util import find_spec

from mtl.runtime.files import InputError

PACKAGE = "deepfl-iqa"

# What `import` says, and what the libraries' authors say.
LIBRARIES = {
    "array_record": "ArrayRecord",
    "grain": "Grain",
    "jinja2": "Jinja2",
    "matplotlib": "Matplotlib",
    "openpyxl": "openpyxl",
    "orbax": "Orbax",
    "pandas": "pandas",
    "ray": "Ray",
    "tensorboardX": "tensorboardX",
    "tensorflow_datasets": "TensorFlow Datasets",
}

DATA_SET = ("array_record", "tensorflow_datasets")  # what reading one takes
FIGURES = ("matplotlib",)

# The libraries of each extra. A test compares them with pyproject.toml. `heic`, `imagenet`
# and `import` are not here: the modules that use theirs do without them, or name the extra
# themselves.
EXTRAS: dict[str, Sequence[str]] = {
    "generate": (*DATA_SET, "ray"),
    "train": (*DATA_SET, *FIGURES, "grain", "orbax", "ray", "tensorboardX"),
    "databases": (*FIGURES, "openpyxl", "pandas"),
    "report": (*DATA_SET, *FIGURES, "jinja2"),
}


def needs(what: str, *extras: str, only: Sequence[str] = ()) -> None:
    """Make sure that the libraries of extras are installed; nothing is imported.

    Args:
        what: needs them, such as `a connection to Ray`; begins the message.
        extras: names in `EXTRAS`.
        only: the libraries of the extras that matter, by the names in `LIBRARIES`; all of them
            when not given.

    Raises:
        InputError: names the missing libraries and the `pip install` that brings them.
    """
    wanted = only or sorted({library for extra in extras for library in EXTRAS[extra]})
    missing = [LIBRARIES[library] for library in wanted if find_spec(library) is None]
    if missing:
        named = "all" if set(extras) == set(EXTRAS) else ",".join(extras)
        raise InputError(f"{what} needs {', '.join(missing)}: pip install '{PACKAGE}[{named}]'")
