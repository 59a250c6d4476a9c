from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def golden() -> Path:
    """The reference files kept with the tests; their README says where they come from."""
    return Path(__file__).resolve().parents[1] / "golden" / "distortions"


@pytest.fixture(scope="session")
def read_rgb():
    def read(path: Path) -> np.ndarray:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))

    return read


@pytest.fixture(scope="session")
def chelsea(golden, read_rgb) -> np.ndarray:
    image = read_rgb(golden / "chelsea.png")
    image.flags.writeable = False
    return image
