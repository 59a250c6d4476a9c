"""The settings of a fine-tuning run, and which of them decide its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mtl.network.layers import BATCH_NORM_MOMENTUM
from mtl.network.networks import DEFAULT
from mtl.runtime import claims
from mtl.runtime.tables.columns import HigherIs
from mtl.training.settings import RunSettings, run_settings

Loss = Literal["mae", "mse", "cross_entropy", "huber", "emd", "plcc", "norm-in-norm", "classes"]

# What may change between two calls that continue one run.
FREE = (
    "ratings",  # may have been moved; its digest tells whether it is the same
    "out",
    "checkpoint_every",
    "checkpoint_seconds",
    "checkpoints_kept",
    "loader_workers",
)


@dataclass(frozen=True)
class FinetuneConfig:
    """One run; the defaults are KonCept512's, whose pictures have --size 384 512."""

    ratings: Path
    """CSV file image,score or image,c1,c2,c3,c4,c5; also reference and set where there are any.
    Any number of ratings from 2 on can be counted, c1 being the worst."""
    init: str
    """Weights to start from: imagenet, efficientnet-lite0-imagenet, a model folder or run, or
    random."""
    out: Path
    """Folder of the run; an unfinished run of the same settings is continued."""
    loss: Loss = "mse"
    """Of scores (mae, mse, plcc, norm-in-norm), of distributions, which need counts c1, c2, ...
    (cross_entropy, huber, emd), or of five classes of scores (classes)."""
    head: Literal["koncept", "linear"] = "koncept"
    """On the body's pooled features: KonCept512's FC 2048, 1024 and 256, or one linear layer."""
    balance: Literal["none", "proportion"] = "none"
    """Weigh training pictures by how rare their scores are; classes always does, in its own way."""
    columns: tuple[str, ...] = ()
    """Names of the table's columns where they are not the usual ones: image=NAME score=NAME, also
    reference, reference_file, set, std, distortion, level."""
    higher_is: HigherIs | None = None
    """Whether higher scores are better; needed for a column DMOS. If worse, the score is the
    negative of the table's."""
    scale: tuple[float, float] | None = None
    """Lowest and highest possible score; those of the training part when not given."""
    stages: tuple[tuple[float, int], ...] = ((1e-4, 40), (5e-5, 20), (1e-5, 10))
    """Learning rate and epochs of each stage, one after the other."""
    size: tuple[int, int] | None = None
    """Height and width to resize to, kept in the model; all as they are when not given."""
    batch_size: int = 16
    """Pictures per step, over all devices."""
    flip: bool = False
    """Mirror half of the training pictures."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, statistics, head and loss are float32."""
    accumulate: int = 1
    """Parts a batch is computed in, one after the other; batch statistics are those of a part."""
    remat: bool = False
    """Compute activations a second time for the gradient instead of keeping them (GPUs)."""
    momentum: float = BATCH_NORM_MOMENTUM
    """Of batch normalisation's running statistics; below 0.99 for runs of under 500 steps."""
    seed: int = 0
    """Decides the split, unless the table has one, initial weights, order and dropout."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 leaves it to --checkpoint-seconds and the ends of epochs."""
    checkpoint_seconds: float = 600.0
    """Seconds between checkpoints."""
    checkpoints_kept: int = 2
    """Latest checkpoints to keep."""
    loader_workers: int = 0
    """Processes that read and decode pictures; 0 uses threads."""
    network: str | None = None
    """Which network --init imagenet or random means, such as resnet50; the paper's when not given,
    and any wrong name lists all. Other weights have their own."""


def staged_settings(config: FinetuneConfig) -> RunSettings:
    """Return the run as the engine sees it; the learning rate changes with the stages."""
    return run_settings(
        config,
        epochs=sum(epochs for _, epochs in config.stages),
        learning_rate=config.stages[0][0],
        schedule="stages",
    )


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that make two runs different ones.

    Raises:
        KeyError: `theirs` lacks a setting.
    """
    # Runs older than these settings had their defaults.
    defaults = {
        "balance": "none",
        "scale": None,
        "head": "koncept",
        "columns": [],
        "higher_is": None,
    }
    # Not given, the paper's is meant; which network a model folder holds follows from its digest.
    theirs = {**defaults, **theirs, "network": theirs.get("network") or DEFAULT}
    return claims.differing(theirs, {**ours, "network": ours["network"] or DEFAULT}, FREE)
