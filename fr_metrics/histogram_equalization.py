"""Histogram equalisation of metric scores: the training targets of DeepFL-IQA."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEFAULT_BINS = 1000
"""Number of bins per metric; the distribution of the targets is uniform to about 1 / bins."""
CONSTANT_TARGET = 0.5
"""Target of a metric whose fitted scores are all the same: the middle of the range 0..1."""

_FORMAT = "fr_metrics.HistogramEqualization"
_VERSION = 1


@dataclass(frozen=True)
class Curve:
    """The increasing piecewise-linear map of one metric, from raw scores to targets in 0..1.

    Raises:
        ValueError: a curve without points, or points that are not finite and strictly increasing
            with targets from 0 to 1 (a single point is the curve of a constant score).
    """

    name: str
    """Name of the metric."""
    scores: tuple[float, ...]
    """Raw scores at the bin edges, increasing, in the metric's own unit."""
    targets: tuple[float, ...]
    """Equalised values at the bin edges, increasing from 0 to 1."""

    def __post_init__(self) -> None:
        if not self.scores or len(self.scores) != len(self.targets):
            raise ValueError(
                f"{self.name}: a curve needs as many targets as scores and at least one, got "
                f"{len(self.scores)} scores and {len(self.targets)} targets"
            )
        for what, values in (("scores", self.scores), ("targets", self.targets)):
            array = np.asarray(values, np.float64)
            if not np.isfinite(array).all() or (np.diff(array) <= 0).any():
                raise ValueError(f"{self.name}: {what} must be finite and strictly increasing")
        ends = (self.targets[0], self.targets[-1])
        if ends != ((0.0, 1.0) if len(self.targets) > 1 else (CONSTANT_TARGET,) * 2):
            raise ValueError(f"{self.name}: targets must run from 0 to 1, got {ends}")


@dataclass(frozen=True)
class HistogramEqualization:
    """Maps the raw scores of each metric to targets that are spread evenly over 0..1.

    Metrics crowd their scores into different corners of their range; a network that learns all of
    them at once needs targets of one scale and spread. Each metric's scores are divided into bins
    of equal population between the smallest and the largest one, and the cumulative histogram,
    linear within a bin, is the map. It is strictly increasing in the raw score, to within the
    resolution of float64: a metric for which lower is better stays so. Scores outside the fitted
    range are clipped to it.

    This is the paper's equalisation of binned scores with one difference: bins of equal population
    instead of equal width, so that a few outliers cannot squeeze all others into a handful of bins.

    Ties share the middle of their ranks, the smallest score becomes 0 and the largest 1; a metric
    whose scores are all the same becomes 0.5. The fit depends on which scores there are, not on
    their order or on how they were split among workers.

    Reference: Lin, Hosu, Saupe 2020, DeepFL-IQA, arXiv:2001.08113, section IV-B3
    """

    curves: tuple[Curve, ...]
    """One curve per metric, in the order they were fitted."""

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"each metric may have one curve, got {', '.join(names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that can be transformed."""
        return tuple(curve.name for curve in self.curves)

    @classmethod
    def fit(
        cls,
        scores: Mapping[str, ArrayLike],
        bins: int = DEFAULT_BINS,
        *,
        counts: Mapping[str, ArrayLike] | None = None,
    ) -> Self:
        """Fit one curve per metric.

        With ``counts`` the scores are histograms: the different scores of one or several shards,
        and how often each occurs. Histograms are merged by putting them one behind the other, in
        any order; the fit is the same as that of all the scores one by one.

        Args:
            scores: raw scores of each metric, of any shape; use those of the training split only.
            bins: largest number of bins per metric; fewer are used where there are fewer different
                scores.
            counts: how often each of ``scores`` occurs, whole numbers of the same shapes; once
                when not given.

        Raises:
            ValueError: no metrics, no scores or scores that are not finite real numbers (the
                message names the metric), counts that do not fit the scores or are not whole
                numbers of at least 0, or ``bins`` below 1.
        """
        if not isinstance(bins, int | np.integer) or isinstance(bins, bool) or bins < 1:
            raise ValueError(f"bins must be an integer of at least 1, got {bins!r}")
        if not scores:
            raise ValueError("there are no scores to fit")
        if counts is not None and set(counts) != set(scores):
            raise ValueError(
                f"counts must be of the same metrics as scores, {', '.join(scores)}; got those of"
                f" {', '.join(counts)}"
            )
        return cls(
            tuple(
                _fit_curve(name, values, None if counts is None else counts[name], int(bins))
                for name, values in scores.items()
            )
        )

    def transform(self, scores: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
        """Targets in 0..1 for raw scores of any of the fitted metrics, in the same shapes.

        Raises:
            ValueError: a metric that was not fitted, or scores that are not finite real numbers.
        """
        return {
            name: _interpolate(_real_numbers(name, values), curve.scores, curve.targets)
            for name, values in scores.items()
            for curve in (self._curve(name),)
        }

    def inverse(self, targets: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
        """Raw scores for targets of any of the fitted metrics; targets are clipped to 0..1.

        Raises:
            ValueError: a metric that was not fitted, or targets that are not finite real numbers.
        """
        return {
            name: _interpolate(_real_numbers(name, values), curve.targets, curve.scores)
            for name, values in targets.items()
            for curve in (self._curve(name),)
        }

    def to_json(self) -> str:
        """The fitted curves as JSON text; :meth:`from_json` gives back an equal object."""
        curves = {
            curve.name: {"scores": curve.scores, "targets": curve.targets} for curve in self.curves
        }
        content = {"format": _FORMAT, "version": _VERSION, "curves": curves}
        return json.dumps(content, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: text that is not JSON, is not such an object or holds an impossible curve.
        """
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"not a {_FORMAT}: the format entry is missing or different")
        if content.get("version") != _VERSION:
            raise ValueError(f"version {content.get('version')!r} cannot be read, only {_VERSION}")
        if set(content) != {"format", "version", "curves"}:
            raise ValueError(f"unexpected or missing entries, got {sorted(content)}")
        curves = content["curves"]
        if not isinstance(curves, dict) or not curves:
            raise ValueError("curves must be a non-empty object with one entry per metric")
        return cls(tuple(_read_curve(name, entry) for name, entry in curves.items()))

    def _curve(self, name: str) -> Curve:
        for curve in self.curves:
            if curve.name == name:
                return curve
        raise ValueError(f"{name} was not fitted; fitted are {', '.join(self.names)}")


def _fit_curve(name: str, values: ArrayLike, times: ArrayLike | None, bins: int) -> Curve:
    array = _real_numbers(name, values)
    if times is not None:
        times = _whole_numbers(name, times, array.shape)
        array, times = array[times > 0], times[times > 0]
    if not array.size:
        raise ValueError(f"{name}: there are no scores to fit")
    # Adding zero turns -0.0, which sorts anywhere among zeros, into 0.0.
    distinct, place, counts = np.unique(array + 0.0, return_inverse=True, return_counts=True)
    if times is not None:
        counts = np.zeros_like(counts)
        np.add.at(counts, place.ravel(), times.ravel())
    if distinct.size == 1:
        return Curve(name, (float(distinct[0]),), (CONSTANT_TARGET,))
    # Twice the mean rank of each group of ties: exact in integers.
    ranks = 2 * np.cumsum(counts) - counts
    targets = (ranks - ranks[0]) / (ranks[-1] - ranks[0])
    edges = np.unique(np.searchsorted(targets, np.arange(bins + 1) / bins))
    return Curve(name, tuple(distinct[edges].tolist()), tuple(targets[edges].tolist()))


def _read_curve(name: str, entry: object) -> Curve:
    if not isinstance(entry, dict) or set(entry) != {"scores", "targets"}:
        raise ValueError(f"{name}: a curve must have exactly the entries scores and targets")
    for what, values in entry.items():
        numeric = isinstance(values, list) and all(type(value) in (int, float) for value in values)
        if not numeric:
            raise ValueError(f"{name}: {what} must be a list of numbers")
    return Curve(name, tuple(map(float, entry["scores"])), tuple(map(float, entry["targets"])))


def _real_numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    # An empty list has no number to take a type from.
    if array.size and array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: scores must be real numbers, got dtype {array.dtype}")
    array = array.astype(np.float64)
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise ValueError(f"{name}: {bad} of {array.size} scores are NaN or infinite")
    return array


def _whole_numbers(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(f"{name}: counts of shape {array.shape} for scores of shape {shape}")
    if array.size and (array.dtype.kind not in "iu" or array.min() < 0):
        raise ValueError(f"{name}: counts must be whole numbers of at least 0")
    return array.astype(np.int64)


def _interpolate(
    values: NDArray[np.float64], start: tuple[float, ...], end: tuple[float, ...]
) -> NDArray[np.float64]:
    """Piecewise-linear interpolation, clipped to the ends and never decreasing by rounding."""
    x, y = np.asarray(start), np.asarray(end)
    if x.size == 1:
        return np.full(values.shape, y[0])
    clipped = np.clip(values, x[0], x[-1])
    left = np.clip(np.searchsorted(x, clipped, side="right") - 1, 0, x.size - 2)
    share = (clipped - x[left]) / (x[left + 1] - x[left])
    between = y[left] + share * (y[left + 1] - y[left])
    return np.where(share < 1.0, np.clip(between, y[left], y[left + 1]), y[left + 1])
