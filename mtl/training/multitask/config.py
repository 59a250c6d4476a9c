"""The settings of a multi-task run, and which of them decide its result."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from fr_metrics import METRICS
from mtl.network.layers import BATCH_NORM_MOMENTUM
from mtl.network.networks import DEFAULT
from mtl.runtime import claims
from mtl.runtime.files import InputError
from mtl.training.run_folder import CONFIG_FILE
from mtl.training.settings import check_settings, chosen_network, run_settings
from mtl.training.starting_weights import RANDOM

PLAN_DIGEST = "plan_sha256"  # in config.json: which data set the run is of


@dataclass(frozen=True)
class TrainConfig:
    """One training run; the defaults are the paper's, but for `init`, where it says imagenet."""

    data: Path
    """Data set that `deepfl generate` wrote."""
    out: Path
    """Folder of the run; an unfinished run of the same settings is continued."""
    init: str = RANDOM
    """Weights to start from: random, imagenet (the body's), efficientnet-lite0-imagenet, or a
    model folder or run."""
    width: float = 1.0
    """Share of the channels that every layer has: 1, the whole network, or 0.5, 0.25, 0.125,
    0.0625; where a network has others, a wrong one lists them."""
    network: str | None = None
    """Which network to train, such as resnet50; when not given, that of --init, else the paper's.
    Any wrong name lists all."""
    tasks: tuple[str, ...] = ()
    """Metrics to predict; all that the data set holds when not given."""
    equalize: Literal["on", "off"] = "on"
    """Train on histogram-equalised (on) or raw scores (off)."""
    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 64
    """Images per step, over all devices."""
    learning_rate: float = 1e-4
    """Of Adam, beta1 0.9 and beta2 0.999."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate over the run: constant, or falling to 0 along half a cosine."""
    weight_decay: float = 0.0
    """Decoupled (AdamW) decay of kernels, times the learning rate per step."""
    ema: float = 0.0
    """Validate and keep an exponential moving average of the weights, such as 0.999; 0 is off."""
    crop: tuple[int, int] | None = None
    """Height and width of random training crops; whole images when not given."""
    flip: bool = False
    """Mirror half of the training images."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, statistics, heads and loss are float32."""
    accumulate: int = 1
    """Parts a batch is computed in, one after the other; batch statistics are those of a part."""
    remat: bool = False
    """Compute activations a second time for the gradient instead of keeping them (GPUs)."""
    momentum: float = BATCH_NORM_MOMENTUM
    """Of batch normalisation's running statistics; below 0.99 for runs of under 500 steps."""
    seed: int = 0
    """Decides initial weights, order, crops and dropout."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 leaves it to --checkpoint-seconds and the ends of epochs."""
    checkpoint_seconds: float = 600.0
    """Seconds between checkpoints."""
    checkpoints_kept: int = 2
    """Latest checkpoints to keep."""
    loader_workers: int = 0
    """Processes that read and decode images, per training process; 0 uses threads."""
    num_workers: int | None = None
    """Training processes that Ray starts; this process alone trains when not given."""
    address: str | None = None
    """Ray cluster for --num-workers, such as `auto` or `ray://head:10001`; default a local one."""
    distributed: bool = False
    """This is one of several processes that SLURM, Open MPI or JAX_PROCESS_ID has numbered."""


# What may change between two calls that continue one run: the steps taken stay the same.
FREE = (
    "data",  # may have been moved; the plan's digest tells whether it is the same
    "out",
    "epochs",
    "checkpoint_every",
    "checkpoint_seconds",
    "checkpoints_kept",
    "loader_workers",
    "num_workers",
    "address",
    "distributed",
)


def train_config(values: Mapping[str, Any]) -> TrainConfig:
    """Return settings from what `as_json` made of them; other names are left out.

    Raises:
        KeyError: a setting is missing.
        TypeError: a value is of another type.
    """
    values = {**values, "network": values.get("network") or DEFAULT}  # older runs do not say it
    settings = {field.name: values[field.name] for field in fields(TrainConfig)}
    crop = settings["crop"]
    return TrainConfig(
        **settings
        | {
            "data": Path(settings["data"]),
            "out": Path(settings["out"]),
            "tasks": tuple(settings["tasks"]),
            "crop": None if crop is None else (int(crop[0]), int(crop[1])),
        }
    )


def read_config(run: Path) -> TrainConfig:
    """Read the settings of a run.

    Raises:
        InputError: the folder is not a run of `deepfl train`.
    """
    path = run / CONFIG_FILE
    try:
        return train_config(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is missing or is not of a training run ({error})") from error


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that make two runs different ones.

    Raises:
        KeyError: `theirs` lacks a setting.
    """
    # A cosine that ends later falls more slowly from the first step on.
    free = [n for n in FREE if n != "epochs" or ours["schedule"] == "constant"]
    return claims.differing({"network": DEFAULT, **theirs}, ours, free)


def chosen_tasks(config: TrainConfig, scored: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics to predict, in the paper's order.

    Raises:
        InputError: the data set was not scored with one of them.
    """
    for task in config.tasks:
        if task not in scored:
            raise InputError(
                f"--tasks {task}: {config.data} is scored with {' '.join(scored)} only"
            )
    return tuple(m for m in METRICS if m in (config.tasks or scored))


def check(config: TrainConfig, size: tuple[int, int], images: int) -> None:
    """Refuse settings that cannot work, whatever the devices.

    Args:
        config: the settings.
        size: height and width of the data set's images.
        images: number of images in the training split.

    Raises:
        InputError: names the option and the remedy.
    """
    network = chosen_network(config.network or DEFAULT, config.width)
    if config.num_workers is not None and (config.num_workers < 1 or config.distributed):
        raise InputError(
            "--num-workers must be positive, and --distributed is for processes that were not"
            " started by it"
        )
    if config.address is not None and config.num_workers is None:
        raise InputError("--address: say with --num-workers how many processes to start there")
    check_settings(run_settings(config), config.data, size, images, network.smallest_side)
