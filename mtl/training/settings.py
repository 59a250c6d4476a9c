"""The settings that every training run has, whatever it learns."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from mtl.network.layers import BATCH_NORM_MOMENTUM
from mtl.network.networks import Network, find_network
from mtl.runtime.files import InputError


@dataclass(frozen=True)
class Batching:
    """State how images become batches."""

    batch_size: int
    """Images per step, over all devices."""
    crop: tuple[int, int] | None = None
    """Height and width of the crops; None keeps whole images."""
    flip: bool = False
    """Mirror half of the training images horizontally."""
    seed: int = 0
    """Decides order, places of the crops, and which images are mirrored."""
    workers: int = 0
    """Processes that read; 0 reads with threads."""


@dataclass(frozen=True)
class RunSettings:
    """One run as the engine sees it.

    The configurations of the objectives, which users write, have these settings under the same
    names, as far as they offer them.
    """

    out: Path
    """Folder of the run."""
    epochs: int
    """Passes over the training split."""
    batch_size: int
    """Images per step, over all devices."""
    learning_rate: float
    """Of Adam, beta1 0.9 and beta2 0.999."""
    schedule: Literal["constant", "cosine", "stages"] = "constant"
    """Learning rate over the run: constant, falling to 0 along half a cosine, or part of the state,
    so that the objective sets it at each stage and all stages share one compiled program."""
    weight_decay: float = 0.0
    """Decoupled (AdamW) decay of kernels, times the learning rate per step."""
    ema: float = 0.0
    """Decay of a moving average of the weights, which is validated and kept; 0 is off."""
    accumulate: int = 1
    """Parts a batch is computed in, one after the other; batch statistics are those of a part."""
    crop: tuple[int, int] | None = None
    """Height and width of random training crops; None takes whole images."""
    whole_validation: bool = False
    """Validate whole images, not centre crops of the training's size."""
    flip: bool = False
    """Mirror half of the training images."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, statistics, heads and loss are float32."""
    remat: bool = False
    """Compute activations a second time for the gradient instead of keeping them."""
    momentum: float = BATCH_NORM_MOMENTUM
    """Of batch normalisation's running statistics."""
    seed: int = 0
    """Decides initial weights, order, crops and dropout."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 leaves it to `checkpoint_seconds` and the ends of epochs."""
    checkpoint_seconds: float = 600.0
    """Seconds between checkpoints."""
    checkpoints_kept: int = 2
    """Latest checkpoints to keep."""
    loader_workers: int = 0
    """Processes that read and decode images, per training process; 0 uses threads."""

    @property
    def batching(self) -> Batching:
        """Return how this run's images become batches."""
        return Batching(self.batch_size, self.crop, self.flip, self.seed, self.loader_workers)

    @property
    def validation_batching(self) -> Batching:
        """Return how this run's images become batches when it is judged."""
        return replace(self.batching, crop=None) if self.whole_validation else self.batching


def run_settings(config: Any, **others: Any) -> RunSettings:
    """Take a run's settings from an objective's configuration.

    Args:
        config: a dataclass; its fields that `RunSettings` has too are taken.
        others: settings in the place of those, or that `config` has not.

    Raises:
        TypeError: a setting without a default is missing.
    """
    known = {field.name for field in fields(RunSettings)}
    taken = {f.name: getattr(config, f.name) for f in fields(config) if f.name in known}
    return RunSettings(**taken | others)


def as_json(config: Any) -> dict[str, Any]:
    """Return a dataclass of settings in values that JSON has."""
    return json.loads(json.dumps(asdict(config), default=str))


def check_settings(
    settings: RunSettings,
    source: Path,
    size: tuple[int, int],
    images: int,
    smallest_side: int,
) -> None:
    """Refuse settings that cannot work, whatever the devices.

    Args:
        settings: of the run.
        source: data set or table, for the message.
        size: height and width of its images.
        images: number of images to train on.
        smallest_side: pixels that the network needs at least.

    Raises:
        InputError: names the option and the remedy.
    """
    positive = (
        "epochs",
        "batch_size",
        "learning_rate",
        "accumulate",
        "checkpoint_seconds",
        "checkpoints_kept",
    )
    for name in positive:
        if getattr(settings, name) <= 0:
            raise InputError(f"{_option(settings, name)} must be positive")
    for name in ("weight_decay", "checkpoint_every", "loader_workers", "seed"):
        if getattr(settings, name) < 0:
            raise InputError(f"{_option(settings, name)} must not be negative")
    if not 0 < settings.momentum < 1:
        raise InputError(f"{_option(settings, 'momentum')} must lie between 0 and 1")
    if not 0 <= settings.ema < 1:
        raise InputError(f"{_option(settings, 'ema')} must be from 0 (off) to below 1")
    if settings.batch_size % settings.accumulate:
        raise InputError(
            f"{_option(settings, 'accumulate')} must divide the --batch-size {settings.batch_size}"
        )
    crop = settings.crop or size
    if min(crop) < smallest_side or crop[0] > size[0] or crop[1] > size[1]:
        raise InputError(
            f"images of {crop[0]}×{crop[1]} cannot be cut from {size[0]}×{size[1]} or are below the"
            f" network's {smallest_side}×{smallest_side}; change --crop"
        )
    if images < settings.batch_size:
        raise InputError(
            f"{source}: has {images} training images, fewer than a batch;"
            f" use a --batch-size below {settings.batch_size}"
        )


def chosen_network(name: str, width: float) -> Network:
    """Return the row of the network that --network and --width name.

    Raises:
        InputError: there is none of this name, or it cannot be made with this share of channels.
    """
    network = find_network(name)
    if width not in network.widths:
        widths = " ".join(map(str, network.widths))
        raise InputError(f"--width {width}: must be one of {widths} for {network.title}")
    return network


def _option(settings: RunSettings, name: str) -> str:
    """Return a setting as it stands on the command line."""
    return f"--{name.replace('_', '-')} {getattr(settings, name)}:"
