import csv
from functools import partial
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from fr_metrics import score

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "metrics"
HASTY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Options with which XLA compiles in a third of the time or less, programs that run slower."""


@pytest.fixture(scope="session")
def picture_reader():
    """Read a picture file as uint8 RGB."""

    def read(path):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert picture is not None, path
        return np.ascontiguousarray(picture[..., ::-1])

    return read


@pytest.fixture(scope="session")
def golden_picture(picture_reader):
    """Read one of the golden pictures that come with the tests, by name."""
    return lambda name: picture_reader(GOLDEN / "images" / f"{name}.png")


@pytest.fixture(scope="session")
def golden_rows():
    """The rows of a golden score file that comes with the tests."""

    def rows(name):
        with (GOLDEN / name).open(newline="") as file:
            return list(csv.DictReader(file))

    return rows


@pytest.fixture(scope="session")
def crops(golden_picture):
    """A reference and three distorted versions, just large enough for every metric."""
    names = ("coffeeodd", "coffeeodd_noise_2", "coffeeodd_jpeg_4", "coffeeodd_colour_4")
    reference, *distorted = (golden_picture(name)[20:197, 40:216] for name in names)
    return reference, np.stack(distorted)


@pytest.fixture(scope="session")
def hasty_jit():
    """``jax.jit`` for what does not depend on how well XLA optimises: most of the time is its.

    Not for the comparison of what users run with the authors' numbers.
    """
    return partial(jax.jit, compiler_options=HASTY)


@pytest.fixture(scope="session")
def hasty_metric(hasty_jit):
    """Make of a function, whose first argument is a metric's name, one that compiles hastily."""

    return partial(hasty_jit, static_argnums=0)


@pytest.fixture(scope="session")
def hasty_score(hasty_metric):
    """:func:`fr_metrics.score` so compiled: one program per metric, shapes and dtype."""
    return hasty_metric(score)


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Compiled programs of a module go with it; together they would take gigabytes."""
    yield
    jax.clear_caches()
