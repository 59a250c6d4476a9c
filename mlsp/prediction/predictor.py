"""A quality model that is ready to judge pictures without a reference."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import Float, UInt8

from fr_metrics import METRICS
from mlsp.features.canvases import canvas_for, check_size, on_canvas
from mlsp.features.describing import describer, on_device
from mlsp.features.pooling import Kind, feature_shape
from mlsp.prediction.conditions import Likely, load_conditions
from mlsp.prediction.leaks import unrecorded
from mlsp.prediction.quality_model import REGRESSOR_FILE, REMEDY, Quality, load_quality
from mtl.evaluation.seen import read_seen, seen_pictures
from mtl.network.weights import TrainedModel, load_model
from mtl.ratings.rated import resized
from mtl.runtime.files import InputError
from mtl.runtime.memory import free_memory
from mtl.training.opinions.losses import opinion_scores


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture."""

    image: str
    quality: float
    """Higher is better if it is in the ratings; without any 0..1, see `Predictor`."""
    scores: dict[str, float]
    """Predicted full-reference scores, each on its own scale, or shares p1, p2, ... of ratings."""
    conditions: list[Likely] = field(default_factory=list)
    """What has most likely been done to it, the likeliest first, if explanations are wanted."""


class Predictor:
    """A model folder, ready to judge pictures.

    With a regressor in the folder, or a head for opinions, quality is on the scale of the human
    ratings it learned; a score predicted directly can exceed their range. Otherwise it is the mean
    over the metrics of the predicted, histogram-equalised scores, those of metrics where lower is
    better turned round: the share of the training images that look worse, 0..1.

    Args:
        folder: the model folder, or the run that holds it.
        explain: say of each picture which conditions are the likeliest, see
        `mlsp.prediction.conditions`.

    Raises:
        InputError: the folder is not a model, or one that can only describe pictures, or holds no
            conditions to explain by, or a regressor of another network.
    """

    def __init__(self, folder: str | os.PathLike, *, explain: bool = False):
        self.model = load_model(folder)
        self.network = self.model.config.row
        self.conditions = load_conditions(self.model.folder) if explain else None
        self.seen = seen_pictures(read_seen(self.model.folder))
        self.unrecorded = unrecorded(self.model.folder)
        quality = load_quality(self.model.folder)
        self.regressor = None if quality is None else quality.regressor
        if quality is not None:
            _check_length(self.model, quality)
        self.opinion = self.model.config.opinion if self.regressor is None else None
        self.scale = "0..1, weakly supervised: share of the training images that look worse"
        if quality is not None:
            self.scale = f"that of {quality.ratings}, {quality.lowest:g} to {quality.highest:g}"
        elif self.opinion is not None:
            lowest, highest = self.opinion.lowest, self.opinion.highest
            self.scale = f"that of {self.opinion.ratings}, {lowest:g} to {highest:g}"
        elif not self.model.config.metrics:
            raise InputError(
                f"{self.model.folder}: is a body without heads and cannot judge; train heads with"
                " `deepfl train --init ...`, fine-tune with `deepfl finetune`, or make a regressor"
                " with `deepfl benchmark RATINGS.csv --model ...`"
            )
        elif self.model.equalization is None:
            raise InputError(
                f"{self.model.folder}: was trained on raw scores and holds no regressor; make one"
                " with `deepfl benchmark RATINGS.csv --model ...`"
            )
        self._features: Kind = "mlsp" if quality is None else quality.features
        kinds: list[Kind] = [self._features, self.model.config.pooling]
        kinds += ["mlsp"] if explain else []
        self._weights = on_device(self.model)
        self._describe = describer(self.model, self._weights, kinds)

        @jax.jit
        def heads(weights, features):
            return self.model.functional.model(weights).heads_of(features)

        self._heads = heads

    def __call__(self, name: str, image: UInt8[np.ndarray, "h w 3"]) -> Prediction:
        """Judge one picture.

        Raises:
            InputError: it is too small for the network, or larger than memory allows.
        """
        height, width = image.shape[:2]
        try:
            check_size((height, width), None, self.network)
            size = self.size_for((height, width))
            check_size(size, free_memory(), self.network)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        return self.judge([name], [self.prepared(image)], canvas_for(size, self.network), 1)[0]

    def size_for(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which the network sees a picture of this size."""
        wanted = self.opinion.size if self.opinion is not None else None
        return wanted or size

    def prepared(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
        """A picture as the network takes it; models of opinions may want one size."""
        return image if self.opinion is None else resized(image, self.opinion.size)

    def judge(
        self,
        names: Sequence[str],
        images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        canvas: tuple[int, int],
        rows: int,
    ) -> list[Prediction]:
        """Judge pictures that fit one canvas, in one pass of `rows` pictures.

        Args:
            names: for the results.
            images: as many, at most `rows`.
            canvas: (height, width); each pair of canvas and rows is compiled once.
            rows: pictures per pass.
        """
        batch, sizes = on_canvas(images, canvas, rows)
        described = self._describe(batch, sizes)
        features = jax.device_get(described)
        outputs = jax.device_get(self._heads(self._weights, described[self.model.config.pooling]))
        outputs = np.asarray(outputs[: len(images)], np.float64)
        features = {kind: found[: len(images)] for kind, found in features.items()}
        qualities, scores = self._qualities(features, outputs)
        explained: list[list[Likely]] = [[] for _ in images]
        if self.conditions is not None:
            explained = [self.conditions.likeliest(row) for row in features["mlsp"]]
        return [
            Prediction(name, float(quality), row, likely)
            for name, quality, row, likely in zip(names, qualities, scores, explained, strict=True)
        ]

    def _qualities(
        self,
        features: Mapping[Kind, Float[np.ndarray, "n ..."]],
        outputs: Float[np.ndarray, "n k"],
    ) -> tuple[Sequence[float], list[dict[str, float]]]:
        """Quality, and the scores beside it, of each picture."""
        if self.opinion is not None:
            qualities, distributions = opinion_scores(self.opinion, outputs)
            shares = [[] for _ in outputs] if distributions is None else distributions.tolist()
            return qualities.tolist(), [
                {f"p{n}": p for n, p in enumerate(row, 1)} for row in shares
            ]
        equalization = self.model.equalization
        heads: dict[str, np.ndarray] = {}  # a head for opinions gives way to the regressor
        if self.model.config.opinion is None:
            heads = dict(zip(self.model.config.metrics, outputs.T, strict=True))
        if equalization is None:
            scores = heads
        else:
            heads = {m: np.clip(column, 0, 1) for m, column in heads.items()}
            scores = equalization.inverse(heads)
        if self.regressor is not None:
            rows_of_features = features[self._features].reshape(len(outputs), -1)
            qualities = self.regressor.predict(rows_of_features)
        else:
            turned = [v if METRICS[m].higher_is_better else 1 - v for m, v in heads.items()]
            qualities = np.mean(turned, axis=0)
        rows = [{m: float(v[k]) for m, v in scores.items()} for k in range(len(outputs))]
        return [float(q) for q in qualities], rows


def _check_length(model: TrainedModel, quality: Quality) -> None:
    """Refuse a regressor that takes another number of features than the network gives."""
    config = model.config
    ours = int(np.prod(feature_shape(quality.features, config.width, config.row)))
    theirs = len(quality.regressor.standard.feature_mean)
    if ours != theirs:
        raise InputError(
            f"{model.folder / REGRESSOR_FILE}: takes {theirs} features, {config.row.title} gives"
            f" {ours}; it is of another network: {REMEDY}"
        )
