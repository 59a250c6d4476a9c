"""Agreement of groups of raters, and how many of them a model is as good as.

KonIQ-10k, doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), sections 4.3 and 6.2.4, figures 6 and
12: a random half of the contributors gives the ground truth; groups of growing size out of the
other half are compared with it by SROCC, and so are a model's predictions. Their size N is the
average number of votes per image. All of the second half is the agreement of random halves (0.973
there); the largest N whose SROCC "does not exceed that which is provided by the objective IQA
method" is how many votes per image the model is worth (9 for KonCept512). Everything is repeated
200 times and averaged.

What the paper leaves open, and what is done here: images for which a small group has no vote are
not compared, and N is the mean over those that are; N between two groups is by linear interpolation
of SROCC in log N; the averaged curve is made to rise where chance lets it fall.

Intervals resample the images, which are a sample of those that might have been rated. A resample
is compared in a block of ten random halvings of its own, so that the halvings' chance is in the
intervals too.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mtl.ratings.reliability import Estimate
from mtl.ratings.resampling import interval, resamples, weighted_srocc
from mtl.ratings.scores import Votes
from mtl.runtime.progress import progress_bar

REPETITIONS = 200  # section 6.2.4
GROUP_SIZES = 12  # on a logarithmic scale
HALVINGS_PER_RESAMPLE = 10
FEWEST_REPETITIONS = 20  # two blocks
RESAMPLES = 200  # in all blocks together


@dataclass(frozen=True)
class Groups:
    """SROCC of groups of raters with the MOS of as many others as half of them are."""

    images: int
    raters: Int[np.ndarray, " g"]
    """In each group, rising; the last is half of all."""
    votes: Float[np.ndarray, " g"]
    """Per image, mean over the repetitions: N."""
    srocc: Float[np.ndarray, " g"]
    """Mean over the repetitions."""
    deviation: Float[np.ndarray, " g"]
    """Over the repetitions."""
    low: Float[np.ndarray, " g"]
    high: Float[np.ndarray, " g"]

    @property
    def halves(self) -> Estimate:
        """SROCC between random halves."""
        return Estimate(float(self.srocc[-1]), float(self.low[-1]), float(self.high[-1]))


@dataclass(frozen=True)
class AsGoodAs:
    """What a model's predictions are worth."""

    srocc: Estimate
    """With the MOS of half of the raters."""
    votes: Estimate
    """N: 0 below the smallest group, infinite above the largest."""


def compare_groups(
    votes: Votes,
    rng: np.random.Generator,
    *,
    predicted: Float[np.ndarray, " i"] | None = None,
    repetitions: int = REPETITIONS,
    progress: bool = False,
) -> tuple[Groups, AsGoodAs | None]:
    """Compare groups of raters, and a model where there is one, with other raters.

    Args:
        votes: at least four raters and three images.
        rng: of halvings and resamples.
        predicted: of each image, on any scale; higher is better.
        repetitions: random halvings; 20 or more.
        progress: report on standard error.

    Raises:
        ValueError: too few raters, images or repetitions.
    """
    if votes.raters < 4 or votes.images < 3 or repetitions < FEWEST_REPETITIONS:
        raise ValueError(
            f"{votes.raters} raters, {votes.images} images and {repetitions} repetitions; at least"
            f" 4, 3 and {FEWEST_REPETITIONS} are needed"
        )
    sizes = _sizes(votes)
    blocks = repetitions // HALVINGS_PER_RESAMPLE
    per_block = -(-RESAMPLES // blocks)
    rows = len(sizes) + (predicted is not None)
    found = np.empty((repetitions, rows))
    effective = np.empty((repetitions, len(sizes)))
    resampled = np.zeros((blocks, rows, per_block))
    weights = np.ones((1, votes.images), int)
    with progress_bar(repetitions, "groups of raters", "halving", show=progress) as bar:
        for r in range(repetitions):
            block = r // HALVINGS_PER_RESAMPLE
            if block == blocks:  # what is left over is in no resample
                weights = weights[:1]
            elif r % HALVINGS_PER_RESAMPLE == 0:
                weights = np.concatenate([weights[:1], resamples(votes.images, per_block, rng)])
            sums, counts = _halving(votes, sizes, rng)
            each = np.empty((rows, len(weights)))
            for g in range(len(sizes)):
                both = (counts[0] > 0) & (counts[g + 1] > 0)
                each[g] = _compared(sums[0], counts[0], sums[g + 1], counts[g + 1], weights)
                effective[r, g] = counts[g + 1][both].mean() if both.any() else np.nan
            if predicted is not None:
                ones = np.ones_like(counts[0])
                each[-1] = _compared(sums[0], counts[0], predicted, ones, weights)
            found[r] = each[:, 0]
            if block < blocks:
                resampled[block] += each[:, 1:] / HALVINGS_PER_RESAMPLE
            bar.update()
    # rows × resamples
    boot = resampled.transpose(1, 0, 2).reshape(rows, -1)
    g = len(sizes)
    means, n = _mean(found), _mean(effective)
    ends = np.array([interval(row) for row in boot])
    with np.errstate(invalid="ignore"):
        deviation = np.std(found[:, :g], axis=0, ddof=1)
    groups = Groups(votes.images, sizes, n, means[:g], deviation, ends[:g, 0], ends[:g, 1])
    if predicted is None:
        return groups, None
    worth = np.array([crossing(n, boot[:g, b], boot[g, b]) for b in range(boot.shape[1])])
    return groups, AsGoodAs(
        Estimate(float(means[g]), *map(float, ends[g])),
        Estimate(crossing(n, means[:g], means[g]), *interval(worth)),
    )


def crossing(
    votes: Float[np.ndarray, " g"], agreement: Float[np.ndarray, " g"], model: float
) -> float:
    """The largest N whose agreement does not exceed the model's.

    Linear in log N between groups; 0 if the smallest exceeds it, infinite if none does, NaN if
    the model has no correlation.
    """
    known = np.isfinite(agreement) & np.isfinite(votes)
    if not np.isfinite(model) or not known.any():
        return float("nan")
    rising = np.maximum.accumulate(agreement[known])
    n = np.log(votes[known])
    if model < rising[0]:
        return 0.0
    if model >= rising[-1]:
        return float("inf")
    k = int(np.searchsorted(rising, model, side="right"))
    share = (model - rising[k - 1]) / (rising[k] - rising[k - 1])
    return float(np.exp(n[k - 1] + share * (n[k] - n[k - 1])))


def _sizes(votes: Votes) -> np.ndarray:
    """Raters in the groups: from one vote per image to half of all."""
    half = votes.raters // 2
    per_rater = len(votes.value) / votes.raters / votes.images
    smallest = min(half, max(1, round(1 / per_rater)))
    return np.unique(np.rint(np.geomspace(smallest, half, GROUP_SIZES)).astype(int))


def _halving(
    votes: Votes, sizes: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sums and numbers of votes per image: of one half, then of the other's growing groups."""
    half = votes.raters // 2
    member = np.empty(votes.raters, np.int64)  # 0, or the first group that has the rater
    place = rng.permutation(votes.raters)
    truth = votes.raters - half
    member[place[:truth]] = 0
    member[place[truth:]] = 1 + np.searchsorted(sizes, np.arange(half), side="right")
    key = member[votes.rater] * votes.images + votes.image
    shape = (len(sizes) + 1, votes.images)
    sums = np.bincount(key, votes.value, minlength=shape[0] * shape[1]).reshape(shape)
    counts = np.bincount(key, minlength=shape[0] * shape[1]).reshape(shape)
    sums[1:], counts[1:] = np.cumsum(sums[1:], axis=0), np.cumsum(counts[1:], axis=0)
    return sums, counts


def _compared(
    sums: np.ndarray, counts: np.ndarray, others: np.ndarray, n: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """SROCC between two means, on the images that have both, for each row of weights."""
    both = (counts > 0) & (n > 0)
    return weighted_srocc(sums[both] / counts[both], others[both] / n[both], weights[:, both])


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the repetitions in which there is a number; NaN where there is none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)
