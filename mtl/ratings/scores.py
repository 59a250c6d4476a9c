"""From ratings that can be trusted to scores: rescaled per rater, averaged per image.

KonIQ-10k, doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), end of section 4.2: "to compensate for
differing ranges of the ratings of individual workers", the scores s_ij of worker i are rescaled to

    s_ij' = 1 + 99 (s_ij - min_j s_ij) / (max_j s_ij - min_j s_ij).

The minimum and the maximum are over all that a worker rated, test questions too, whose MOS is on
the same scale there (it is compared with the experts'). Images that are test questions get scores
as others do, in a table of their own: those of KonIQ-10k are not part of it.

The table's columns are those of KonIQ-10k's: c1 ... c5 (here how many gave 1 ... 5; there the
shares), c_total, MOS (1..100), SD. Its SD is the standard deviation, with n - 1, of the raw ratings
1..5: that of its own c1 ... c5 and c_total is equal to it to eleven digits. The deviation of the
rescaled ratings, in the MOS' unit, is the column std.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mtl.ratings.distributions import RATINGS
from mtl.ratings.rated import COUNTS, IMAGE
from mtl.ratings.raw import RawRatings
from mtl.runtime.extras import needs

LOWEST, HIGHEST = 1.0, 100.0  # of rescaled scores

TOTAL, MOS, SD, STD = "c_total", "MOS", "SD", "std"
DECIMALS = 6  # of numbers in the table


@dataclass(frozen=True)
class Votes:
    """Rescaled ratings of raters who were kept."""

    raters: int
    images: int
    rater: Int[np.ndarray, " r"]
    """0 ... raters - 1, among those kept."""
    image: Int[np.ndarray, " r"]
    """0 ... images - 1."""
    value: Float[np.ndarray, " r"]
    """1..100."""
    score: Int[np.ndarray, " r"]
    """1..5, as given."""

    def of(self, images: Bool[np.ndarray, " i"]) -> "Votes":
        """The votes on some of the images, which are counted anew."""
        chosen = images[self.image]
        place = np.cumsum(images) - 1
        return Votes(
            self.raters,
            int(images.sum()),
            self.rater[chosen],
            place[self.image[chosen]],
            self.value[chosen],
            self.score[chosen],
        )


@dataclass(frozen=True)
class Scores:
    """Scores of images, an entry each."""

    counts: Int[np.ndarray, "i s"]
    """How many raters gave 1 ... 5."""
    mos: Float[np.ndarray, " i"]
    """1..100; NaN without votes."""
    sd: Float[np.ndarray, " i"]
    """Of the ratings 1..5, with n - 1; NaN with fewer than two."""
    std: Float[np.ndarray, " i"]
    """Of the rescaled ratings, likewise."""

    @property
    def votes(self) -> Int[np.ndarray, " i"]:
        """How many raters there are."""
        return self.counts.sum(axis=1)


def rescale(rater: Int[np.ndarray, " r"], score: Int[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
    """Each rater's scores, the lowest at 1 and the highest at 100.

    A rater's scale does not matter: a s + b, with a above 0, in the place of s gives the same.

    Raises:
        ValueError: somebody's scores are all the same.
    """
    own = _grouped(score, rater)
    low, high = own.transform("min").to_numpy(), own.transform("max").to_numpy()
    if (same := low == high).any():
        who, only = rater[same][0], low[same][0]
        raise ValueError(f"rater {who} gave {only:g} only, which cannot be rescaled")
    return LOWEST + (HIGHEST - LOWEST) * (score - low) / (high - low)


def votes_of(raw: RawRatings, kept: Bool[np.ndarray, " n"]) -> Votes:
    """The ratings of the raters who were kept, rescaled.

    Raises:
        ValueError: somebody's scores are all the same.
    """
    chosen = kept[raw.rater]
    rater = (np.cumsum(kept) - 1)[raw.rater[chosen]]
    score = raw.score[chosen].astype(np.int64)
    return Votes(
        int(kept.sum()), len(raw.images), rater, raw.image[chosen], rescale(rater, score), score
    )


def score_images(votes: Votes) -> Scores:
    """MOS, deviations and distribution of each image."""
    counts = np.bincount(
        votes.image * RATINGS + votes.score - 1, minlength=votes.images * RATINGS
    ).reshape(votes.images, RATINGS)
    mos, std = _moments(votes.image, votes.value, votes.images)
    return Scores(counts, mos, _moments(votes.image, votes.score, votes.images)[1], std)


def _moments(image: np.ndarray, value: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n - 1) of each image."""
    moments = _grouped(value, image).agg(["mean", "std"]).reindex(range(images))
    return moments["mean"].to_numpy(), moments["std"].to_numpy()


def _grouped(values: np.ndarray, number: np.ndarray) -> Any:
    """Return pandas' groups of the values that have one number.

    Raises:
        InputError: pandas is not installed.
    """
    needs("a table of raw ratings", "databases", only=("pandas",))
    import pandas  # here, since it takes 0.3 s that commands without ratings need not wait

    return pandas.Series(values).groupby(number)


def table_rows_of(
    names: Sequence[str], scores: Scores, chosen: Bool[np.ndarray, " i"]
) -> list[dict[str, Any]]:
    """Rows for `mtl.ratings.rated.read_ratings`: image, c1 ... c5, c_total, MOS, SD, std."""
    return [
        {
            IMAGE: names[int(k)],
            **{name: int(n) for name, n in zip(COUNTS, scores.counts[k], strict=True)},
            TOTAL: int(scores.counts[k].sum()),
            MOS: round(float(scores.mos[k]), DECIMALS),
            SD: round(float(scores.sd[k]), DECIMALS),
            STD: round(float(scores.std[k]), DECIMALS),
        }
        for k in np.flatnonzero(chosen)
    ]


def seen_from(folder: Path, pictures: Path, name: str) -> str:
    """The name, relative to `folder`, of a picture that is named relative to `pictures`."""
    return Path(os.path.relpath((pictures / name).resolve(), folder.resolve())).as_posix()
