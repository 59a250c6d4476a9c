"""Choosing photographs so that the histograms of all indicators are as uniform as possible.

V. Vonikakis, R. Subramanian, J. Arnfred, S. Winkler, "A probabilistic approach to people-centric
photo selection and sequencing", IEEE Trans. Multimedia 19(11), 2017, the method that KonIQ-10k
(doi:10.1109/TIP.2020.2967829, section 3.4.3) balances its photographs with: a mixed-integer
programme with a binary x_i for each photograph and a target for each bin of each indicator.

The target t of an indicator is its most uniform histogram with K photographs: every bin holds
min(what there is, τ), with one level τ that makes the sum K. The programme is

    minimise Σ |n_b - t_b|   over x in {0, 1}, Σ x_i = K,   n_b = photographs chosen of bin b,

summed over the bins of all indicators. The value is 0 where every indicator alone is as uniform as
it could be; 2 is a photograph more in one bin and less in another. Since the n_b are whole, |n - t|
may be replaced by the straight lines between its values at whole n, which makes the linear
relaxation tighter. Photographs that share all bins are interchangeable, and are one variable.

The relaxation is solved by HiGHS' interior point method, rounded (whole values stay, the rest is
filled greedily) and improved by exchanging one photograph for another as long as that helps. Few
photographs are then given to `scipy.optimize.milp`, whose tree is limited in nodes and not in
seconds, so that the result is the same on any machine.

The bound is not taken from the solver: with the multipliers y of the relaxation in [0, 2],
Σ of the K smallest of Σ_b∋i y_b, plus Σ_b (min(0, s_b - y_b) - y_b ⌊t_b⌋) is a lower bound (weak
duality, s_b as in `_slopes`) whatever y is. Of a tree, HiGHS' own bound is taken where higher.
"""

from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.sparse
from jaxtyping import Bool, Float, Int

# Up to so many different photographs the programme goes to `milp` as well.
TREE_GROUPS = 600
TREE_NODES = 200

EXCHANGED = 50  # chosen photographs that are tried for each exchange, those of least loss first
EPSILON = 1e-6  # below which a value of the relaxation counts as whole, and a gain as none


@dataclass(frozen=True)
class Selection:
    """Photographs chosen by the programme."""

    chosen: Bool[np.ndarray, " n"]
    value: float
    """Of the programme: Σ |n_b - t_b|."""
    bound: float
    """No choice of as many photographs has a lower value."""

    @property
    def gap(self) -> float:
        """How far the value may be from the best, as a share of the value."""
        return (self.value - self.bound) / self.value if self.value > 0 else 0.0


def equal_bins(values: Float[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " n"]:
    """The bin, from 0, of each value: `bins` of equal width from the least to the largest."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(len(values), np.int64)
    return np.minimum((bins * ((values - low) / (high - low))).astype(np.int64), bins - 1)


def uniform_target(counts: Int[np.ndarray, " b"], number: int) -> Float[np.ndarray, " b"]:
    """The most uniform histogram of `number` of the photographs that bins hold: min(counts, τ).

    Raises:
        ValueError: there are fewer photographs than `number`.
    """
    if counts.sum() < number:
        raise ValueError(f"{counts.sum()} photographs are fewer than {number}")
    ordered = np.sort(counts)
    below = np.concatenate([[0], np.cumsum(ordered)[:-1]])
    levels = (number - below) / np.arange(len(ordered), 0, -1)
    level = levels[np.argmax(levels <= ordered)]
    return np.minimum(counts, level)


@dataclass(frozen=True)
class _Programme:
    """Different photographs (groups), the bins of all indicators, numbered through, and targets."""

    cells: Int[np.ndarray, "g d"]
    copies: Int[np.ndarray, " g"]
    target: Float[np.ndarray, " c"]
    number: int

    @property
    def floors(self) -> Float[np.ndarray, " c"]:
        return np.floor(self.target + EPSILON)

    @property
    def slopes(self) -> Float[np.ndarray, " c"]:
        """Cost of the first photograph above the whole part of the target; each further costs 2.

        Counted from the cost of none above, and 1 more a photograph, whose sum over the bins of an
        indicator is the same for all choices.
        """
        return 2 - 2 * np.maximum(self.target - self.floors, 0)

    def counts(self, taken: Int[np.ndarray, " g"]) -> Float[np.ndarray, " c"]:
        weights = np.repeat(taken, self.cells.shape[1])
        return np.bincount(self.cells.ravel(), weights, minlength=len(self.target))

    def value(self, taken: Int[np.ndarray, " g"]) -> float:
        return float(np.abs(self.counts(taken) - self.target).sum())

    def bound(self, multipliers: Float[np.ndarray, " c"]) -> float:
        y = np.clip(multipliers, 0, 2)
        each = np.repeat(y[self.cells].sum(axis=1), self.copies)
        cheapest = np.partition(each, self.number - 1)[: self.number].sum()
        return float(cheapest + np.minimum(0, self.slopes - y).sum() - y @ self.floors)


def select(bins: Int[np.ndarray, "n d"], number: int) -> Selection:
    """Choose `number` of n photographs, whose bins of d indicators are given.

    The choice depends on the bins alone: in another order, photographs with the same bins are
    chosen. Of several with all bins in common the first are.

    Raises:
        ValueError: `number` is not within 1..n.
    """
    if not 1 <= number <= len(bins):
        raise ValueError(f"{number} of {len(bins)} photographs cannot be chosen")
    rows, member, copies = np.unique(bins, axis=0, return_inverse=True, return_counts=True)
    programme = _programme(rows, copies, number)
    taken, bound = _relaxed(programme)
    taken = _exchanged(programme, taken)
    if len(copies) <= TREE_GROUPS and programme.value(taken) > bound + EPSILON:
        taken, bound = _searched(programme, taken, bound)
    value = programme.value(taken)
    # The first so many of each group.
    order = np.argsort(member.ravel(), kind="stable")
    place = np.empty(len(bins), np.int64)
    place[order] = np.arange(len(bins)) - np.repeat(np.cumsum(copies) - copies, copies)
    chosen = place < taken[member.ravel()]
    return Selection(chosen, value, min(max(bound, 0.0), value))


def _programme(
    rows: Int[np.ndarray, "g d"], copies: Int[np.ndarray, " g"], number: int
) -> _Programme:
    cells, targets = [], []
    used = 0
    for column in rows.T:
        there, cell = np.unique(column, return_inverse=True)
        counts = np.bincount(cell, copies).astype(np.int64)
        cells.append(cell + used)
        targets.append(uniform_target(counts, number))
        used += len(there)
    return _Programme(np.stack(cells, axis=1), copies, np.concatenate(targets), number)


def _matrices(p: _Programme) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]:
    """Rows of n_b - first_b - further_b, which is at most ⌊t_b⌋, and the row of Σ x."""
    groups, indicators = p.cells.shape
    ones = np.ones(groups * indicators)
    places = (p.cells.ravel(), np.repeat(np.arange(groups), indicators))
    bins = scipy.sparse.csr_array((ones, places), shape=(len(p.target), groups))
    identity = scipy.sparse.eye_array(len(p.target))
    above = scipy.sparse.hstack([bins, -identity, -identity]).tocsr()
    total = np.concatenate([np.ones(groups), np.zeros(2 * len(p.target))])
    return scipy.sparse.csr_array(above), scipy.sparse.csr_array(total[None])


def _costs(p: _Programme) -> Float[np.ndarray, " v"]:
    return np.concatenate([np.zeros(len(p.cells)), p.slopes, np.full(len(p.target), 2.0)])


def _upper(p: _Programme) -> Float[np.ndarray, " v"]:
    return np.concatenate([p.copies, np.ones(len(p.target)), np.full(len(p.target), np.inf)])


def _relaxed(p: _Programme) -> tuple[Int[np.ndarray, " g"], float]:
    """The relaxation, rounded, and the bound.

    Raises:
        RuntimeError: HiGHS found no solution, although every programme has one.
    """
    above, total = _matrices(p)
    upper = _upper(p)
    solved = scipy.optimize.linprog(
        _costs(p),
        A_ub=above,
        b_ub=p.floors,
        A_eq=total,
        b_eq=[p.number],
        bounds=np.stack([np.zeros(len(upper)), upper], axis=1),
        method="highs-ipm",
    )
    if solved.x is None:
        raise RuntimeError(f"HiGHS could not solve the relaxation: {solved.message}")
    shares = solved.x[: len(p.cells)]
    taken = np.clip(np.floor(shares + EPSILON), 0, p.copies).astype(np.int64)
    return _filled(p, taken, shares - taken), p.bound(-solved.ineqlin.marginals)


def _filled(
    p: _Programme, taken: Int[np.ndarray, " g"], rest: Float[np.ndarray, " g"]
) -> Int[np.ndarray, " g"]:
    """Photographs added one by one, the cheapest first, of those that the relaxation cuts."""
    taken = taken.copy()
    counts = p.counts(taken)
    missing = p.number - int(taken.sum())
    cut = np.flatnonzero((rest > EPSILON) & (taken < p.copies))
    if len(cut) < missing:  # rounding errors of the solver
        cut = np.flatnonzero(taken < p.copies)
    for _ in range(missing):
        price = (np.abs(counts + 1 - p.target) - np.abs(counts - p.target))[p.cells[cut]].sum(1)
        # Of equal prices, what the relaxation took most of.
        best = np.lexsort((-rest[cut], np.round(price, 9)))[0]
        group = cut[best]
        taken[group] += 1
        counts[p.cells[group]] += 1
        if taken[group] == p.copies[group] or rest[group] > EPSILON:
            cut = np.delete(cut, best)
            if not len(cut):
                cut = np.flatnonzero(taken < p.copies)
    return taken


def _exchanged(p: _Programme, taken: Int[np.ndarray, " g"]) -> Int[np.ndarray, " g"]:
    """One photograph for another, the best such exchange first, until none helps."""
    taken = taken.copy()
    counts = p.counts(taken)
    while True:
        less = np.abs(counts - 1 - p.target) - np.abs(counts - p.target)
        losses = np.where(taken > 0, less[p.cells].sum(axis=1), np.inf)
        tried = np.argsort(losses, kind="stable")[:EXCHANGED]
        best, exchange = -EPSILON, None
        free = taken < p.copies
        for out in tried[np.isfinite(losses[tried])]:
            without = counts.copy()
            without[p.cells[out]] -= 1
            more = np.abs(without + 1 - p.target) - np.abs(without - p.target)
            gains = np.where(free, more[p.cells].sum(axis=1), np.inf)
            into = int(gains.argmin())
            if losses[out] + gains[into] < best - EPSILON:
                best, exchange = losses[out] + gains[into], (out, into)
        if exchange is None:
            return taken
        out, into = exchange
        taken[out] -= 1
        taken[into] += 1
        counts[p.cells[out]] -= 1
        counts[p.cells[into]] += 1


def _searched(
    p: _Programme, taken: Int[np.ndarray, " g"], bound: float
) -> tuple[Int[np.ndarray, " g"], float]:
    """What branch and bound makes of it."""
    above, total = _matrices(p)
    groups = len(p.cells)
    solved = scipy.optimize.milp(
        _costs(p),
        integrality=np.concatenate([np.ones(groups), np.zeros(2 * len(p.target))]),
        bounds=(np.zeros(groups + 2 * len(p.target)), _upper(p)),
        constraints=[(above, -np.inf, p.floors), (total, p.number, p.number)],
        options={"node_limit": TREE_NODES, "mip_rel_gap": 0.0},
    )
    if solved.mip_dual_bound is not None and np.isfinite(solved.mip_dual_bound):
        bound = max(bound, solved.mip_dual_bound)
    if solved.x is not None:
        found = np.round(solved.x[:groups]).astype(np.int64)
        if found.sum() == p.number and p.value(found) < p.value(taken) - EPSILON:
            taken = found
    return taken, bound
