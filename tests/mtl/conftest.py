"""What several tests of training share."""

from pathlib import Path

import cv2
import pytest

from mtl.kadis.generate import generate
from mtl.kadis.plan import GenerateConfig


@pytest.fixture(scope="session")
def scored(tmp_path_factory, sample) -> Path:
    """A data set: four photographs in twenty small versions, scored with two metrics."""
    root = tmp_path_factory.mktemp("scored")
    (root / "photographs").mkdir()
    for name in ("chelsea", "china", "coffee", "flower"):
        cv2.imwrite(str(root / "photographs" / f"{name}.png"), sample[name][..., ::-1])
    generate(
        GenerateConfig(
            root / "photographs", root / "kadis", size=(80, 96), metrics=("ssim", "gmsd"), shards=2
        )
    )
    return root / "kadis"
