"""Which raters can be trusted: KonIQ-10k's steps, in its order.

V. Hosu, H. Lin, T. Sziranyi, D. Saupe, "KonIQ-10k: An ecologically valid database for deep learning
of blind image quality assessment", doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), section 4.2:

1. Test questions (quiz and hidden): an accuracy below 70 % ends a worker's part.
2. The remaining ratings "yielded a preliminary set of MOS values"; workers with a PLCC of their
   votes and the preliminary MOS below 0.5 are outliers.
3. Line clickers: "the ratio between the maximum count and the sum of the four lower counts" of a
   worker's five answers is larger than 2.0. There 1,648 - 68 - 121 = 1,459
   workers were left: nobody was counted in two steps.

The MOS is computed once, after step 1: the paper tells of one set of values and of no repetition.

What the paper leaves open, and what is done here:

- Step 1 counts a worker's quiz and hidden questions together; the table does not tell them apart.
  Who answered no test question is not judged by them.
- Steps 2 and 3 look at the ratings that are no test questions: those are judged by step 1, and
  their images, chosen to be obvious, would lend a high correlation to anybody who takes care there
  alone.
- The preliminary MOS is the mean of the raw scores: rescaling comes "finally", and the correlation
  does not see a worker's own scale.
- A worker's own vote is left out of the MOS that it is compared with. With 120 votes per image, as
  there, that lowers a PLCC by less than 0.01; with five, a vote would be a fifth of its own judge.
- Where nothing can be compared (all others agree on every image, or nobody else rated them) there
  is no PLCC, and nobody is an outlier for that. One who always gives the same score has none
  either, and is a line clicker, of infinite ratio.
- Nobody can be judged by a handful of ratings. The paper's workers had answered 20 questions before
  they began; who gave fewer ratings than that is left out before step 2. It is a lower limit:
  the PLCC of an honest rater's 20 ratings is below 0.5 by chance in one case of ten or five, that
  of 80 in one of a hundred (results/ratings_screening.csv, simulated).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from mtl.ratings.distributions import RATINGS
from mtl.ratings.raw import RawRatings
from mtl.runtime.files import InputError

# Section 4.2.
LOWEST_ACCURACY, LOWEST_PLCC, HIGHEST_RATIO = 0.7, 0.5, 2.0
# The length of the quiz there; that it is asked of ratings is this program's rule.
FEWEST_RATINGS = 20

# Variance of scores 1..5 that is rounding: a single vote that differs among a million has 1e-6.
TINY = 1e-12

Reason = Literal["", "test questions", "few ratings", "outlier", "line clicker"]
REASONS: tuple[Reason, ...] = ("test questions", "few ratings", "outlier", "line clicker")


@dataclass(frozen=True, kw_only=True)
class ScreeningSettings:
    """Thresholds."""

    accuracy: float = LOWEST_ACCURACY
    """Share, 0..1, of a rater's test questions that must be answered as accepted."""
    plcc: float = LOWEST_PLCC
    """Lowest correlation, -1..1, with the preliminary MOS."""
    line_ratio: float = HIGHEST_RATIO
    """Highest ratio between the count of the most frequent score and that of all others."""
    fewest_ratings: int = FEWEST_RATINGS
    """Ratings, test questions apart, below which nobody can be judged."""


@dataclass(frozen=True)
class Screening:
    """What is known of each rater, in the order of `RawRatings.raters`."""

    settings: ScreeningSettings
    ratings: Int[np.ndarray, " n"]
    """Ratings that are no test questions."""
    tests: Int[np.ndarray, " n"]
    """Test questions answered."""
    accuracy: Float[np.ndarray, " n"]
    """Share of them answered as accepted; NaN without any."""
    plcc: Float[np.ndarray, " n"]
    """With the preliminary MOS of the others; NaN where there is nothing to compare."""
    line_ratio: Float[np.ndarray, " n"]
    """Infinite where all scores are the same; NaN without ratings."""
    reasons: tuple[Reason, ...]
    """The first step that removed a rater; empty for those who are kept."""

    @property
    def kept(self) -> Bool[np.ndarray, " n"]:
        """Who passed all steps."""
        return np.array([not reason for reason in self.reasons], bool)

    def explanation(self, rater: int) -> str:
        """Why a rater was removed, in words with figures; empty for one who was kept."""
        s, reason = self.settings, self.reasons[rater]
        if reason == "test questions":
            right = round(self.accuracy[rater] * self.tests[rater])
            return (
                f"{right} of {self.tests[rater]} test questions answered as accepted, below"
                f" {s.accuracy:.0%}"
            )
        if reason == "few ratings":
            return f"{self.ratings[rater]} ratings; {s.fewest_ratings} are needed to judge a rater"
        if reason == "outlier":
            return f"PLCC of {self.plcc[rater]:.3f} with the preliminary MOS, below {s.plcc:g}"
        if reason == "line clicker":
            return (
                f"the most frequent score is given {self.line_ratio[rater]:.2f} times as often as"
                f" all others, above {s.line_ratio:g}"
            )
        return ""


def screen(raw: RawRatings, settings: ScreeningSettings) -> Screening:
    """Judge every rater; the module's text has the steps.

    Raises:
        InputError: a threshold is out of its range, or nobody is left after a step.
    """
    _check(settings)
    raters = len(raw.raters)
    test = raw.is_test[raw.image]
    tests = np.bincount(raw.rater[test], minlength=raters)
    right = raw.accepted[raw.image[test], raw.score[test] - 1]
    accuracy = _ratio(np.bincount(raw.rater[test], right, minlength=raters), tests)

    rater, image = raw.rater[~test], raw.image[~test]
    score = raw.score[~test].astype(np.float64)
    ratings = np.bincount(rater, minlength=raters)
    counts = np.bincount(
        rater * RATINGS + raw.score[~test] - 1, minlength=raters * RATINGS
    ).reshape(raters, RATINGS)
    most = counts.max(axis=1)
    line_ratio = _ratio(most.astype(np.float64), ratings - most)

    reasons = np.full(raters, "", object)
    reasons[accuracy < settings.accuracy] = "test questions"
    _somebody(raw, reasons, "answers the test questions as accepted; lower --accuracy")
    reasons[(reasons == "") & (ratings < settings.fewest_ratings)] = "few ratings"
    _somebody(
        raw,
        reasons,
        f"is left with {settings.fewest_ratings} ratings that are no test questions; lower"
        " --fewest-ratings",
    )
    plcc = _agreement(rater, image, score, reasons == "", len(raw.images))
    reasons[(reasons == "") & (plcc < settings.plcc)] = "outlier"
    _somebody(raw, reasons, "agrees with the others; lower --plcc")
    reasons[(reasons == "") & (line_ratio > settings.line_ratio)] = "line clicker"
    _somebody(raw, reasons, "uses more than one score; raise --line-ratio")
    return Screening(settings, ratings, tests, accuracy, plcc, line_ratio, tuple(reasons.tolist()))


def _check(settings: ScreeningSettings) -> None:
    if not 0 <= settings.accuracy <= 1:
        raise InputError(f"--accuracy {settings.accuracy:g}: must be within 0..1")
    if not -1 <= settings.plcc <= 1:
        raise InputError(f"--plcc {settings.plcc:g}: must be within -1..1")
    if not 0 < settings.line_ratio < np.inf:
        raise InputError(f"--line-ratio {settings.line_ratio:g}: must be above 0 and finite")
    if settings.fewest_ratings < 1:
        raise InputError(f"--fewest-ratings {settings.fewest_ratings}: must be at least 1")


def _somebody(raw: RawRatings, reasons: np.ndarray, otherwise: str) -> None:
    if not (reasons == "").any():
        raise InputError(f"{raw.table}: none of the {len(raw.raters)} raters {otherwise}")


def _agreement(
    rater: np.ndarray, image: np.ndarray, score: np.ndarray, kept: np.ndarray, images: int
) -> np.ndarray:
    """PLCC of each rater's scores with the mean of the kept others' scores, where there are any."""
    own = kept[rater]
    votes = np.bincount(image[own], minlength=images)
    sums = np.bincount(image[own], score[own], minlength=images)
    others = votes[image] - own
    compared = others > 0
    rater, x = rater[compared], score[compared]
    y = (sums[image] - own * score)[compared] / others[compared]
    n = np.bincount(rater, minlength=len(kept))
    # Deviations from each rater's own means: sums of squares would lose digits.
    x -= _ratio(np.bincount(rater, x, minlength=len(kept)), n)[rater]
    y -= _ratio(np.bincount(rater, y, minlength=len(kept)), n)[rater]
    xx, yy, xy = (np.bincount(rater, v, minlength=len(kept)) for v in (x * x, y * y, x * y))
    # Of equal numbers the mean may be off by a last digit, whose square is no variance.
    varied = (xx > n * TINY) & (yy > n * TINY)
    return _ratio(np.where(varied, xy, np.nan), np.sqrt(xx * yy))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Above / below; NaN for 0 / 0, infinite for anything else over 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return above / below
