"""A table of ratings as a fine-tuning run sees it: split, with targets for its loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from mtl.evaluation.seen import CHOSEN, TRAINED, SeenRatings
from mtl.evaluation.splits import Split
from mtl.network.model import Opinion
from mtl.ratings.distributions import expected_score
from mtl.ratings.rated import (
    COUNTS,
    PARTS,
    TRAINING,
    RatedImages,
    Ratings,
    common_size,
    read_ratings,
    split_ratings,
)
from mtl.runtime.contents import content_digests
from mtl.runtime.files import InputError, file_digest
from mtl.runtime.tables.columns import TableColumns
from mtl.training.opinions.balancing import CLASSES, class_weights, segment_weights, segments_of
from mtl.training.opinions.config import FinetuneConfig
from mtl.training.opinions.losses import LOSSES

# Two pictures always correlate with 1 or -1.
FEWEST_COMPARED = 3


@dataclass(frozen=True)
class RatedData:
    """The table, split and opened."""

    parts: Mapping[str, RatedImages]
    names: Mapping[str, Sequence[str]]
    scores: Mapping[str, Float[np.ndarray, " n"]]
    size: tuple[int, int]
    opinion: Opinion
    ratings: Ratings
    """The table."""
    split: Split
    """Its row numbers."""
    contents: Sequence[str]
    """SHA-256 of each row's picture."""
    seen: tuple[SeenRatings, ...]
    """Which pictures the weights learn from, in this run or before."""
    loss: Callable[[jax.Array, jax.Array], jax.Array]
    """(outputs, targets) of a training batch → loss, with the weights of its pictures."""


def open_table(config: FinetuneConfig, smallest_side: int, *, progress: bool = False) -> RatedData:
    """Read, check and split the table, and give each picture its target.

    Args:
        config: the run.
        smallest_side: pixels that the network needs at least.
        progress: report on standard error.

    Raises:
        InputError: the table, its pictures or the settings for it cannot be used.
    """
    ratings = read_ratings(config.ratings, TableColumns(config.columns, config.higher_is))
    if config.higher_is == "worse" and config.scale is not None:
        config = replace(config, scale=(-config.scale[1], -config.scale[0]))
    name = config.chosen_loss
    loss, classes = LOSSES[name], name == "classes"
    if classes and config.balance != "none":
        raise InputError("--loss classes weighs the classes already; leave --balance out")
    if loss.scale_free and config.batch_size // max(1, config.accumulate) < FEWEST_COMPARED:
        raise InputError(
            f"--loss {name}: compares the pictures of a batch, or of its --accumulate parts;"
            f" each needs at least {FEWEST_COMPARED}"
        )
    if loss.distributed:
        if config.scale is not None:
            raise InputError(f"--loss {name}: the scale is that of the ratings; leave --scale out")
        if ratings.distributions is None:
            raise InputError(
                f"--loss {name}: learns the distribution of the ratings, which a score does"
                f" not tell; {config.ratings} needs {' '.join(COUNTS)}, or use --loss mse"
            )
        ratings = replace(ratings, scores=expected_score(ratings.distributions))
    rows = split_ratings(ratings, config.seed)
    size = common_size(ratings, config.size, smallest_side)
    known = ratings.scores[rows[TRAINING]]
    lowest, highest = config.scale or (float(known.min()), float(known.max()))
    if config.scale is not None:
        _check_scale(config, ratings.scores)
    if loss.distributed:
        targets = ratings.distributions
        assert targets is not None  # refused above
        lowest, highest = 1.0, float(targets.shape[1])
    elif classes:
        targets = np.eye(CLASSES)[segments_of(ratings.scores, lowest, highest, CLASSES)]
    else:
        targets = ((ratings.scores - lowest) / (highest - lowest))[:, None]
    names = {part: [ratings.names[k] for k in rows[part]] for part in PARTS}
    folder = config.ratings.parent
    contents = content_digests([folder / name for name in ratings.names], progress=progress)
    seen = SeenRatings(
        config.ratings.name,
        file_digest(config.ratings),
        {contents[k]: part for part in (TRAINED, CHOSEN) for k in rows[part]},
    )
    return RatedData(
        {part: RatedImages(folder, names[part], targets[rows[part]], size) for part in PARTS},
        names,
        {part: ratings.scores[rows[part]] for part in PARTS},
        size,
        Opinion(
            targets.shape[1],
            lowest,
            highest,
            config.size,
            config.ratings.name,
            classes,
            config.head != "linear",
            "spp" if config.head == "deeprn" else "gap",
        ),
        ratings,
        Split(*(rows[part] for part in PARTS)),
        contents,
        (seen,),
        _training_loss(config, targets[rows[TRAINING]]),
    )


def _check_scale(config: FinetuneConfig, scores: Float[np.ndarray, " n"]) -> None:
    assert config.scale is not None  # it is what is checked
    lowest, highest = config.scale
    if not (lowest <= scores.min() and scores.max() <= highest and lowest < highest):
        raise InputError(
            f"--scale {lowest:g} {highest:g}: {config.ratings} has scores of {scores.min():g} to"
            f" {scores.max():g}; give the lowest and the highest possible score"
        )


def _training_loss(
    config: FinetuneConfig, targets: Float[np.ndarray, "n k"]
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return the loss of a batch, with the weights that the targets of the training part ask for.

    A picture's weight follows from its target, so that batches need not carry it.
    """
    function = LOSSES[config.chosen_loss].function
    if config.chosen_loss == "classes":
        of_class = class_weights(targets.argmax(axis=1)).astype(np.float32)
        return lambda outputs, target: function(outputs, target, target @ of_class)
    if config.balance == "none":
        return function
    score: Callable[[Any], Any] = expected_score if targets.shape[1] > 1 else lambda t: t[:, 0]
    lowest, highest = (1.0, float(targets.shape[1])) if targets.shape[1] > 1 else (0.0, 1.0)
    # In the precision in which the steps see the targets.
    weights = segment_weights(score(targets.astype(np.float32)), lowest, highest)
    return lambda outputs, target: function(outputs, target, weights(score(target)))
