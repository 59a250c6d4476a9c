"""The folder of a demonstration: its settings, its parts, and the seconds of its stages."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtl.runtime import claims
from mtl.runtime.claims import Identity, both_values, differing
from mtl.runtime.files import write_atomically

SETTINGS_FILE, TIMES_FILE, RANKING_FILE = "demo.json", "seconds.json", "ranking.csv"


@dataclass(frozen=True)
class DemoConfig:
    """Sizes of the demonstration; the defaults fit two cores and a few minutes."""

    out: Path = Path("deepfl-demo")
    """Folder for everything it makes."""
    types: tuple[str, ...] = (
        "gaussian_blur",
        "color_diffusion",
        "jpeg",
        "white_noise",
        "brighten",
        "pixelate",
        "high_sharpen",
    )
    """Distortions of every photograph, at all levels: one of each group of the paper."""
    size: tuple[int, int] = (192, 256)
    """Height and width of the pristine crops."""
    width: float = 0.25
    """Width of the network, as in `deepfl train`; 1 is the paper's."""
    epochs: int = 3
    """Epochs of the multi-task training."""
    crop: tuple[int, int] = (96, 96)
    """Height and width of the training crops."""
    batch_size: int = 8
    """Images per training step."""
    momentum: float = 0.9
    """Momentum of batch normalisation, low because training takes only a hundred steps."""
    svr_repetitions: int = 20
    """Random splits for the support vectors."""
    mlp_repetitions: int = 3
    """Random splits for the paper's network."""
    mlp_epochs: int = 10
    """Epochs of the paper's network."""
    mlp_learning_rates: tuple[float, ...] = (1e-3, 1e-4)
    """Learning rates it chooses from."""
    seed: int = 0
    """Seed of everything random."""


@dataclass(frozen=True)
class Places:
    """Paths of the parts of a demonstration."""

    photographs: Path
    data: Path
    run: Path
    features: Path
    benchmark: Path
    quality: Path
    """The model to predict with."""
    ranking: Path
    """Table of the included model's predictions."""
    report: Path

    @classmethod
    def below(cls, out: Path) -> "Places":
        """Return the places in a demonstration's folder."""
        return cls(
            photographs=out / "photographs",
            data=out / "kadis",
            run=out / "run",
            features=out / "features",
            benchmark=out / "benchmark",
            quality=out / "quality",
            ranking=out / RANKING_FILE,
            report=out / "report",
        )


def claim(config: DemoConfig) -> None:
    """Write the settings into a new folder, or compare them with those of an earlier call.

    Raises:
        InputError: the folder holds something else, or a demonstration with other settings.
    """
    settings = {name: value for name, value in asdict(config).items() if name != "out"}
    claims.claim(
        config.out,
        Identity(
            file=SETTINGS_FILE,
            kind="a demonstration",
            value=settings,
            difference=_other_settings,
        ),
    )


def _other_settings(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    names = differing(theirs, ours)
    if not names:
        return ""
    values = both_values(theirs, ours, names)
    return f"holds a demonstration with other settings ({values})"


class Stopwatch:
    """Measure seconds per stage and keep them in a file, for the report of a resumed run.

    Args:
        out: the demonstration's folder.
    """

    def __init__(self, out: Path):
        self._path = out / TIMES_FILE

    def read(self) -> dict[str, float]:
        """Return the seconds of each stage so far."""
        return json.loads(self._path.read_text()) if self._path.is_file() else {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the seconds of a block of code, if it ends well, to those of a stage."""
        began = time.monotonic()
        yield
        known = self.read()
        known[stage] = round(known.get(stage, 0.0) + time.monotonic() - began, 1)
        write_atomically(self._path, json.dumps(known))
