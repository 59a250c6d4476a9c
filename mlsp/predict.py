"""The quality of any picture, without a reference."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from fr_metrics import METRICS
from mlsp.benchmark import RATINGS_FILE, REGRESSOR_FILE
from mlsp.blocks import BLOCKS
from mlsp.regressor import load_regressor
from mlsp.sources import open_source
from mtl import compilation_cache
from mtl.files import InputError
from mtl.inception_resnet_v2 import SMALLEST_SIDE
from mtl.opinion_losses import opinion_scores
from mtl.pictures import Rejected
from mtl.rated import resized
from mtl.weights import load_model


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture."""

    image: str
    quality: float
    """Higher is better if it is in the ratings; without any 0..1, see `Predictor`."""
    scores: dict[str, float]
    """Predicted full-reference scores, each on its own scale, or shares p1, p2, ... of ratings."""


class Predictor:
    """A model folder, ready to judge pictures.

    With a regressor in the folder, or a head for opinions, quality is on the scale of the human
    ratings it learned; a score predicted directly can exceed their range. Otherwise it is the mean
    over the metrics of the predicted, histogram-equalised scores, those of metrics where lower is
    better turned round: the share of the training images that look worse, 0..1.

    Raises:
        InputError: the folder is not a model, or one that can only describe pictures.
    """

    def __init__(self, folder: str | os.PathLike):
        self.model = load_model(folder)
        path = self.model.folder / REGRESSOR_FILE
        self.regressor = load_regressor(path) if path.is_file() else None
        self.opinion = self.model.config.opinion if self.regressor is None else None
        self.scale = "0..1, weakly supervised: share of the training images that look worse"
        if self.regressor is not None:
            try:
                known = json.loads((self.model.folder / RATINGS_FILE).read_text())
                self.scale = (
                    f"that of {known['ratings']}, {known['lowest']:g} to {known['highest']:g}"
                )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self.model.folder / RATINGS_FILE}: is missing or damaged ({error})"
                ) from error
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
        self._weights = {name: jnp.asarray(w) for name, w in self.model.weights.items()}
        compilation_cache.enable()

        @jax.jit
        def judged(weights, images):
            return self.model.functional.model(weights)(images)

        @jax.jit
        def forward(weights, images):
            model = self.model.functional.model(weights)
            feature, activations = model.body(model.scaled(images))
            pooled = [activations[name].mean(axis=(1, 2)) for name, _ in BLOCKS]
            heads = [model.heads[m](feature) for m in model.metrics]
            outputs = jnp.stack(heads, axis=1) if heads else jnp.zeros((len(images), 0))
            return jnp.concatenate(pooled, axis=1), outputs

        self._judged, self._forward = judged, forward

    def __call__(self, name: str, image: UInt8[np.ndarray, "h w 3"]) -> Prediction:
        """Judge one picture.

        Raises:
            InputError: it is smaller than 75×75.
        """
        if min(image.shape[:2]) < SMALLEST_SIDE:
            raise InputError(
                f"{name}: {image.shape[1]}×{image.shape[0]} pixels are too few; at least"
                f" {SMALLEST_SIDE}×{SMALLEST_SIDE} are needed"
            )
        if self.opinion is not None:
            images = resized(image, self.opinion.size)[None]
            outputs = np.asarray(self._judged(self._weights, images))
            (score,), distributions = opinion_scores(self.opinion, outputs)
            shares = [] if distributions is None else distributions[0].tolist()
            return Prediction(name, float(score), {f"p{n}": p for n, p in enumerate(shares, 1)})
        features, outputs = (np.asarray(a) for a in self._forward(self._weights, image[None]))
        equalization = self.model.equalization
        heads = dict(zip(self.model.config.metrics, outputs.astype(np.float64).T, strict=True))
        if equalization is None:
            scores = heads
        else:
            heads = {m: np.clip(column, 0, 1) for m, column in heads.items()}
            scores = equalization.inverse(heads)
        if self.regressor is not None:
            quality = float(self.regressor.predict(features)[0])
        else:
            turned = [v if METRICS[m].higher_is_better else 1 - v for m, v in heads.items()]
            quality = float(np.mean(turned))
        return Prediction(name, quality, {m: float(v[0]) for m, v in scores.items()})


def predict_files(predictor: Predictor, paths: Sequence[Path]) -> Iterator[Prediction | Rejected]:
    """Judge picture files and all pictures in folders; a bad one among them is reported.

    Raises:
        InputError: a path does not exist, or a folder holds no pictures.
    """
    for path in paths:
        source = open_source(path)
        for index, name in enumerate(source.names):
            shown = str(path) if path.is_file() else str(path / name)
            try:
                yield predictor(shown, source.load(index))
            except InputError as error:
                yield Rejected(shown, str(error))
