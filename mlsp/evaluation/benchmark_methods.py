"""The methods of a benchmark: a regressor, and features that are known or learned by split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from mlsp.baselines.codebooks import LocalDescriptors, encoded, learn_encoder
from mlsp.features.crops import Pool, pool_features
from mlsp.regression import (
    Examples,
    Execution,
    Outcome,
    Settings,
    Weighting,
    train_and_test,
)
from mtl.evaluation.splits import Split, restricted
from mtl.runtime.progress import progress_bar


@dataclass(frozen=True)
class Method:
    """Join a regressor and the features it learns from."""

    name: str
    """In the tables."""
    features: Float[np.ndarray, "n f"]
    """One row per picture, or `crops` rows."""
    settings: Settings
    others: Mapping[str, Float[np.ndarray, "m f"]] = field(default_factory=dict)
    """The same features of other databases, by name, to be tested on as a whole."""
    weighting: Weighting | None = None
    """Weights of the training pictures from their scores."""
    crops: int = 1
    """Rows of `features` for each picture, one after the other; their predictions are pooled."""
    pool: Pool = "avg"
    """How the predictions of a picture's crops are pooled."""

    def train_and_test(
        self,
        scores: Float[np.ndarray, " n"],
        splits: Sequence[Split],
        *,
        seed: int = 0,
        progress: bool = False,
    ) -> list[Outcome]:
        """Fit a regressor for each split and test it.

        Args:
            scores: of the pictures.
            splits: row numbers of pictures, for each repetition.
            seed: of training; repetition k has seed + k.
            progress: report on standard error.

        Returns:
            For each split the choice and the predictions, one per picture.

        Raises:
            InputError: features are not finite, or all networks of a split diverged.
        """
        outcomes = train_and_test(
            self.settings,
            Examples(self.features, np.repeat(scores, self.crops)),
            [self._of_crops(split) for split in splits],
            others=list(self.others.values()),
            seed=seed,
            weighting=self.weighting,
            execution=Execution(progress=progress),
        )
        return [
            replace(
                outcome,
                predicted=self._of_pictures(outcome.predicted),
                others=[self._of_pictures(other) for other in outcome.others],
            )
            for outcome in outcomes
        ]

    def _of_crops(self, split: Split) -> Split:
        """Return the same split in rows of crops."""

        def rows(part: np.ndarray) -> np.ndarray:
            return (part[:, None] * self.crops + np.arange(self.crops)).ravel()

        return Split(rows(split.train), rows(split.validation), rows(split.test))

    def _of_pictures(self, predicted: Float[np.ndarray, " r"]) -> Float[np.ndarray, " n"]:
        """Return one prediction for each picture."""
        return pool_features(predicted.reshape(-1, self.crops).T, self.pool)


@dataclass(frozen=True)
class CodebookMethod:
    """Join a regressor and features whose codebook each split learns from its training part."""

    name: str
    """In the tables."""
    pictures: LocalDescriptors
    """Of the pictures, in the order of the scores."""
    settings: Settings
    others: Mapping[str, LocalDescriptors] = field(default_factory=dict)
    """Of other databases, by name, to be tested on as a whole."""
    weighting: Weighting | None = None
    """Weights of the training pictures from their scores."""

    def train_and_test(
        self,
        scores: Float[np.ndarray, " n"],
        splits: Sequence[Split],
        *,
        seed: int = 0,
        progress: bool = False,
    ) -> list[Outcome]:
        """Learn a codebook for each split, fit a regressor on the vectors it gives, and test it.

        The codebook and the regressor of repetition k have the seed `seed + k`. The codebook is
        learned from the training part; the vectors of all parts and of other databases follow.

        Arguments, results and errors are those of `Method.train_and_test`.
        """
        outcomes = []
        with progress_bar(len(splits), self.name, "split", show=progress) as bar:
            for number, split in enumerate(splits):
                encoder = learn_encoder(self.pictures, split.train, seed + number)
                rows = np.unique(np.concatenate([split.train, split.validation, split.test]))
                others = [
                    encoded(other, np.arange(len(other)), encoder) for other in self.others.values()
                ]
                outcomes += train_and_test(
                    self.settings,
                    Examples(encoded(self.pictures, rows, encoder), scores[rows]),
                    [restricted(split, rows)],
                    others=others,
                    seed=seed + number,
                    weighting=self.weighting,
                )
                bar.update()
        return outcomes
