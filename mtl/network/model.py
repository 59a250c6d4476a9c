"""The models: the body of a network with a head per full-reference metric, or for opinions.

DeepFL-IQA, arXiv:2001.08113, section IV-B1 and figure 4: global average pooling, then for each of
the K metrics "fully-connected (FC) with 512 units, dropout with rate 0.25, FC with 256 units,
dropout with rate 0.5, and output with one neuron".

KonIQ-10k, doi:10.1109/TIP.2020.2967829, section 5.1 and figure 7 (KonCept512): global average
pooling, FC with 2048, 1024 and 256 units, ReLU and dropout of .25, .25 and .5, then one linear
output for a score, or five and a soft-max for the distribution of ratings.

DeepRN, Varga, Saupe, Sziranyi, ICME 2018, doi:10.1109/ICME.2018.8486528, as KonIQ-10k's section
6.2.2 reimplements it in its own framework: the body is pooled over a spatial pyramid of three
levels. KonIQ-10k does not tell the rest; here the levels and the average are those of its table 5
(`mtl.network.maps.pyramid_means`), and what follows is KonCept512's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, pairwise
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Num

from mtl.network.layers import BATCH_NORM_MOMENTUM
from mtl.network.maps import PYRAMID_CELLS, pyramid_means
from mtl.network.networks import DEFAULT, NETWORKS, Body, Network
from mtl.network.scalings import SCALINGS

HEAD_UNITS = (512, 256)
HEAD_DROPOUT = (0.25, 0.5)
OPINION_UNITS = (2048, 1024, 256)
OPINION_DROPOUT = (0.25, 0.25, 0.5)

# The last layer averaged over the picture, or over a spatial pyramid.
Pooling = Literal["gap", "spp"]


@dataclass(frozen=True)
class Opinion:
    """What a head for human opinions gives, and of which pictures."""

    outputs: int
    """1: a score, 0..1 between `lowest` and `highest`. More: a distribution, before its soft-max,
    of ratings 1, 2, ..."""
    lowest: float
    """Of the human scores; higher is better."""
    highest: float
    size: tuple[int, int] | None
    """(height, width) to which pictures are resized; None judges them as they are."""
    ratings: str
    """Where the scores came from, in words."""
    classes: bool = False
    """Whether the distribution is of classes that part `lowest`..`highest` evenly."""
    hidden: bool = True
    """Whether the head has KonCept512's hidden layers, or is one linear layer."""
    pooling: Pooling = "gap"
    """Of what the head sees."""


@dataclass(frozen=True)
class ModelConfig:
    """What is needed to build the model and to feed it."""

    metrics: tuple[str, ...]
    """Names of the metrics, one head each, in order; none for a body without heads."""
    scaling: str = ""
    """Name of the pixel scaling, a key of SCALINGS; that of the network's row when empty."""
    momentum: float = BATCH_NORM_MOMENTUM
    """Of batch normalisation's running statistics."""
    opinion: Opinion | None = None
    """A head for human opinions in the place of the metrics' heads."""
    width: float = 1.0
    """Of the body, one of the `widths` of the network's row."""
    network: str = DEFAULT
    """Name of the body's network, a key of NETWORKS."""

    def __post_init__(self):
        if not self.scaling:
            object.__setattr__(self, "scaling", self.row.scaling)

    @property
    def row(self) -> Network:
        """The network's row in the table."""
        return NETWORKS[self.network]

    @property
    def outputs(self) -> int:
        """Numbers per image."""
        return len(self.metrics) if self.opinion is None else self.opinion.outputs

    @property
    def pooling(self) -> Pooling:
        """Which features the heads see; `mlsp.features.pooling` calls them the same."""
        return "gap" if self.opinion is None else self.opinion.pooling


Keys = Callable[[], Array | None]
"""Gives another key at each call; None where nothing is dropped."""


def no_key() -> None:
    """In the place of keys where nothing is dropped."""


def dropout_keys(key: Array) -> Keys:
    """The keys of one pass, as `nnx.Rngs(dropout=key)` gives them, but counted in Python.

    That counts in a variable whose every change composes, while a training step is traced, the
    message of an error that is then dropped: seconds in all.
    """
    numbers = count()
    return lambda: jax.random.fold_in(key, next(numbers))


class Head(nnx.Module):
    """FC 512, ReLU, dropout .25, FC 256, ReLU, dropout .5, FC 1."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.fc1 = nnx.Linear(features, HEAD_UNITS[0], rngs=rngs)
        self.dropout1 = nnx.Dropout(HEAD_DROPOUT[0])
        self.fc2 = nnx.Linear(HEAD_UNITS[0], HEAD_UNITS[1], rngs=rngs)
        self.dropout2 = nnx.Dropout(HEAD_DROPOUT[1])
        self.out = nnx.Linear(HEAD_UNITS[1], 1, rngs=rngs)

    def __call__(self, x: Float[Array, "n f"], keys: Keys = no_key) -> Float[Array, " n"]:
        """One number per image; `keys` are needed in training mode."""
        x = self.dropout1(nnx.relu(self.fc1(x)), rngs=keys())
        x = self.dropout2(nnx.relu(self.fc2(x)), rngs=keys())
        return self.out(x)[:, 0]


class OpinionHead(nnx.Module):
    """FC 2048, 1024 and 256 with ReLU and dropout of .25, .25 and .5, then a linear layer.

    Without the hidden ones, the linear layer alone.
    """

    def __init__(self, features: int, outputs: int, *, hidden: bool = True, rngs: nnx.Rngs):
        sizes = (features, *(OPINION_UNITS if hidden else ()))
        self.hidden = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(sizes)])
        self.dropout = nnx.List([nnx.Dropout(rate) for rate in OPINION_DROPOUT[: len(self.hidden)]])
        self.out = nnx.Linear(sizes[-1], outputs, rngs=rngs)

    def __call__(self, x: Float[Array, "n f"], keys: Keys = no_key) -> Float[Array, "n k"]:
        """Outputs before any soft-max; `keys` are needed in training mode."""
        for hidden, dropout in zip(self.hidden, self.dropout, strict=True):
            x = dropout(nnx.relu(hidden(x)), rngs=keys())
        return self.out(x)


class MTLModel(nnx.Module):
    """Body and heads; pixels in, one number per image and metric, or those of an opinion, out."""

    def __init__(self, config: ModelConfig, *, body: Body | None = None, rngs: nnx.Rngs):
        body = body or config.row.build
        self.body: Any = body(width=config.width, momentum=config.momentum, rngs=rngs)
        # Bodies without leave the heads their keys, so that older runs continue bit for bit.
        self.dropout = nnx.Dropout(self.body.dropout) if self.body.dropout else None
        self.heads = nnx.Dict(
            {metric: Head(self.body.features, rngs=rngs) for metric in config.metrics}
        )
        self.pooling = config.pooling
        cells = PYRAMID_CELLS if self.pooling == "spp" else 1
        self.opinion = (
            None
            if config.opinion is None
            else OpinionHead(
                self.body.features * cells,
                config.opinion.outputs,
                hidden=config.opinion.hidden,
                rngs=rngs,
            )
        )
        self.metrics = config.metrics
        self.scaling = config.scaling

    def scaled(self, images: Num[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
        """Pixels 0..255 as the weights expect them."""
        return SCALINGS[self.scaling](images)

    def activations(self, images: Num[Array, "n h w 3"]) -> dict[str, Float[Array, "n _ _ _"]]:
        """The activations of the MLSP blocks, by name, for pixels 0..255."""
        return self.body(self.scaled(images))[1]

    def __call__(self, images: Num[Array, "n h w 3"], keys: Keys = no_key) -> Float[Array, "n k"]:
        """Predicted training targets: equalised scores, one column per metric, or an opinion.

        Args:
            images: pixels 0..255.
            keys: of the dropout, see `dropout_keys`; needed in training mode only.

        Raises:
            ValueError: the model has no heads.
        """
        if not self.metrics and self.opinion is None:
            raise ValueError("the model is a body without heads; it gives features only")
        if self.pooling == "spp":
            features = pyramid_means(self.body.maps(self.scaled(images))[0])
        else:
            features, _ = self.body(self.scaled(images))
        if self.dropout is not None:
            features = self.dropout(features, rngs=keys())
        return self.heads_of(features, keys)

    def heads_of(self, features: Float[Array, "n f"], keys: Keys = no_key) -> Float[Array, "n k"]:
        """What the heads say of features, pooled as they need it (`ModelConfig.pooling`).

        No column for a body without heads.
        """
        if self.opinion is not None:
            return self.opinion(features, keys)
        heads = [self.heads[m](features, keys) for m in self.metrics]
        return jnp.stack(heads, axis=1) if heads else jnp.zeros((len(features), 0))


def mtl_loss(predicted: Float[Array, "n k"], target: Float[Array, "n k"]) -> Float[Array, ""]:
    """Mean over K tasks of the mean squared error, equations (2) and (3) with all weights 1/K.

    Raises:
        ValueError: the shapes differ (broadcasting would hide it).
    """
    if predicted.shape != target.shape:
        raise ValueError(f"predicted has shape {predicted.shape}, target {target.shape}")
    return jnp.mean((predicted - target) ** 2)


Weights = dict[str, jax.Array]


def functional_model(config: ModelConfig, body: Body | None = None) -> "Functional":
    """Return the model as pure functions; laying it out takes seconds, so it is done once.

    Args:
        config: what the model is.
        body: makes the convolutional part, in the place of the network's own.
    """
    return _laid_out(config, body or config.row.build)


@lru_cache(maxsize=8)
def _laid_out(config: ModelConfig, body: Body) -> "Functional":
    return Functional(config, body)


class _AnyKey:
    """In the place of `nnx.Rngs` where only shapes are wanted; see `dropout_keys` for why.

    Laying out the network takes a fifth of the time then.
    """

    def params(self) -> Array:
        """The same key again and again."""
        return jax.random.key(0)


class Functional:
    """The model as pure functions of flat dictionaries of arrays: parameters and statistics.

    Names are paths, such as `body/block17/3/up/kernel`; they are what optimiser, checkpoint and
    export see.
    """

    def __init__(self, config: ModelConfig, body: Body | None = None):
        self.config = config
        rngs = cast(nnx.Rngs, _AnyKey())
        abstract = nnx.eval_shape(lambda: MTLModel(config, body=body, rngs=rngs))
        abstract.train()
        self._training, state = nnx.split(abstract)
        self.shapes = {
            _name(path): tuple(variable.get_value().shape)
            for path, variable in nnx.to_flat_state(state)
        }
        self._kinds = {
            _name(path): (path, type(variable)) for path, variable in nnx.to_flat_state(state)
        }
        abstract.eval()
        self._inference = nnx.split(abstract)[0]

    @property
    def parameter_names(self) -> list[str]:
        """Names of what the optimiser changes."""
        return [name for name, (_, kind) in self._kinds.items() if issubclass(kind, nnx.Param)]

    def split(self, weights: Mapping[str, Array]) -> tuple[Weights, Weights]:
        """All weights, separated into parameters and batch statistics."""
        parameters = set(self.parameter_names)
        return (
            {n: weights[n] for n in self.shapes if n in parameters},
            {n: weights[n] for n in self.shapes if n not in parameters},
        )

    def model(self, weights: Mapping[str, Array], *, training: bool = False) -> MTLModel:
        """The module with these weights (parameters and statistics together)."""
        state = nnx.from_flat_state(
            [(path, kind(weights[name])) for name, (path, kind) in self._kinds.items()]
        )
        graph = self._training if training else self._inference
        return nnx.merge(graph, state, copy=True)

    def statistics(self, model: MTLModel) -> Weights:
        """The batch statistics a training-mode call left in the module."""
        flat = nnx.to_flat_state(nnx.state(model, nnx.BatchStat))
        return {_name(path): variable.get_value() for path, variable in flat}


def _name(path: Sequence[object]) -> str:
    return "/".join(str(part) for part in path)
