"""A training run, read for the report: settings, log, best epoch, duration, versions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.network.weights import FOLDER, MODEL_FILE
from mtl.runtime.files import InputError
from mtl.training.multitask.config import PLAN_DIGEST, read_config
from mtl.training.run_folder import CONFIG_FILE, read_log
from mtl.training.settings import as_json


@dataclass(frozen=True)
class Run:
    """The contents of a folder of `deepfl train`."""

    folder: Path
    settings: Mapping[str, Any]
    digest: str | None
    """Digest of the data set's plan; None in runs of older versions."""
    log: Sequence[Mapping[str, float]]
    """One row per epoch that has ended."""

    @property
    def best(self) -> Mapping[str, float]:
        """The row of the epoch that is kept: the smallest validation loss."""
        return min(self.log, key=lambda row: row["validation_loss"])

    def minutes(self, images: int) -> float | None:
        """Return the duration of the training steps by their measured speed; None if not measured.

        Args:
            images: number of images in the training split.
        """
        rates = [row.get("images_per_second", 0) for row in self.log]
        if not all(rate > 0 for rate in rates):
            return None
        batch = self.settings["batch_size"]
        return sum(images // batch * batch / rate for rate in rates) / 60

    @property
    def model_file(self) -> Path:
        """The description of the run's model, which may not be there yet."""
        return self.folder / FOLDER / MODEL_FILE

    def versions(self) -> Mapping[str, str]:
        """Return the versions the network was trained with, by package; empty if not known."""
        try:
            versions = json.loads(self.model_file.read_text())["notes"]["versions"]
            return {str(name): str(version) for name, version in versions.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def read_run(folder: Path) -> Run:
    """Read a run's settings and its log.

    Raises:
        InputError: there is no such folder, it is not of a run, or its log is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give that of a run of `deepfl train`")
    settings = as_json(read_config(folder))
    digest = json.loads((folder / CONFIG_FILE).read_text()).get(PLAN_DIGEST)
    return Run(folder, settings, digest, read_log(folder))
