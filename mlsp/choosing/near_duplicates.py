"""Leaving out near-duplicates by KonIQ-10k's rule, doi:10.1109/TIP.2020.2967829, section 3.5.

The indicators are scaled to 0..1; the distance of two photographs is Euclidean in their space and
that of the content, where it is 0 within a cluster and 1 between clusters. Of the closest pair one
is left out, again and again. The paper does not say which: here it is the one whose nearest other
photograph is closer, and of two as close the later one.

Nearest neighbours are looked up in a k-d tree per cluster, and in one of all photographs only once
no pair of a cluster is closer than 1.
"""

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree


def unit_scaled(values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Each column from its least to its largest value as 0..1; a constant one as 0."""
    low, extent = values.min(axis=0), np.ptp(values, axis=0)
    return (values - low) / np.where(extent > 0, extent, 1)


def without_nearest(
    indicators: Float[np.ndarray, "n d"], clusters: Int[np.ndarray, " n"], number: int
) -> Bool[np.ndarray, " n"]:
    """Which photographs stay when members of the closest pairs are left out until `number` remain.

    Args:
        indicators: 0..1, see `unit_scaled`.
        clusters: of the content.
        number: that stay.

    Raises:
        ValueError: `number` is not within 1..n.
    """
    if not 1 <= number <= len(indicators):
        raise ValueError(f"{number} of {len(indicators)} photographs cannot stay")
    neighbours = _Neighbours(indicators, clusters)
    there = neighbours.there
    pairs: list[tuple[float, int, int]] = []

    def push(i: int) -> None:
        distance, j = neighbours.nearest(i)
        if j >= 0:
            heapq.heappush(pairs, (distance, i, j))

    remaining = len(indicators)
    if remaining > number:
        for i in range(remaining):
            push(i)
    while remaining > number:
        _, i, j = heapq.heappop(pairs)
        if not there[i]:
            continue
        if not there[j]:
            push(i)
            continue
        first, second = min(i, j), max(i, j)
        others = neighbours.nearest(first, second)[0], neighbours.nearest(second, first)[0]
        out, stays = (first, second) if others[0] < others[1] else (second, first)
        there[out] = False
        remaining -= 1
        if stays == i:
            push(i)
    return there


class _Neighbours:
    """Nearest neighbours among the photographs that are still there."""

    def __init__(self, indicators: np.ndarray, clusters: np.ndarray):
        self.there = np.ones(len(indicators), bool)
        self._indicators, self._clusters = indicators, clusters
        self._members = {int(c): np.flatnonzero(clusters == c) for c in np.unique(clusters)}
        self._trees = {c: KDTree(indicators[rows]) for c, rows in self._members.items()}
        self._all: KDTree | None = None

    def nearest(self, i: int, without: int = -1) -> tuple[float, int]:
        """Distance and number of the nearest other photograph; (inf, -1) when there is none."""
        cluster = int(self._clusters[i])
        members = self._members[cluster]

        def usable(j: int) -> bool:
            return j not in (i, without) and bool(self.there[j])

        inside = self._first(self._trees[cluster], i, members, usable)
        if inside[0] <= 1:
            return inside
        if self._all is None:
            self._all = KDTree(self._indicators)
        everything = np.arange(len(self._indicators))
        distance, j = self._first(
            self._all, i, everything, lambda j: self._clusters[j] != cluster and usable(j)
        )
        return min(inside, (float(np.hypot(distance, 1)), j))

    def _first(
        self, tree: KDTree, i: int, rows: np.ndarray, usable: Callable[[int], bool]
    ) -> tuple[float, int]:
        """The nearest of a tree's photographs that is usable, asking for more and more of them."""
        size, asked, seen = len(rows), 4, 0
        while seen < size:
            asked = min(asked, size)
            further: Any = np.arange(seen + 1, asked + 1)  # KDTree takes numbers of neighbours too
            distances, places = tree.query(self._indicators[i], k=further)
            for distance, place in zip(np.ravel(distances), np.ravel(places), strict=True):
                if usable(int(rows[place])):
                    return float(distance), int(rows[place])
            seen, asked = asked, 4 * asked
        return np.inf, -1
