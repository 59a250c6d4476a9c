"""Otsu thresholds for any number of classes, searched as MATLAB's `multithresh` does.

Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Trans. SMC 9(1), 1979,
doi:10.1109/TSMC.1979.4310076. Lagarias, Reeds, Wright, Wright, "Convergence Properties of the
Nelder-Mead Simplex Method in Low Dimensions", SIAM J. Optim. 9(1), 1998,
doi:10.1137/S1052623496303470.
"""

import math
import operator
from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from jaxtyping import Float64, Int

BINS = 256  # grey levels

# Coefficients of the simplex's moves, from Lagarias et al.
REFLECTION = 1.0
EXPANSION = 2.0
CONTRACTION = 0.5
SHRINKAGE = 0.5

# MATLAB's `fminsearch`: the first simplex moves one coordinate at a time by 5 %, or by this if 0.
FIRST_STEP = 0.05
FIRST_STEP_FROM_ZERO = 0.00025
EVALUATIONS_PER_VARIABLE = 200  # also the limit of iterations per variable

# The tolerances `multithresh` asks of it; the search ends when both hold.
TOLERANCE_X = 1.0  # grey levels
TOLERANCE_F = 1e-4  # squared grey levels


def otsu_thresholds(histogram: Int[np.ndarray, " 256"], count: int) -> Int[np.ndarray, " count"]:
    """Return `count` ascending grey levels that split `histogram` with a high Otsu criterion.

    The criterion is the variance between classes, a class being the levels above one threshold up
    to and including the next; thresholds out of order or a class without pixels are infeasible.
    It is maximised by Nelder-Mead from equally spaced thresholds, so the result is a local optimum
    near them, as `multithresh`'s is, and not the global one. Where equal spacing leaves a class
    without pixels, for which MATLAB promises nothing, the search starts from thresholds that share
    the occurring levels equally.

    Raises:
        ValueError: the histogram has no more grey levels than thresholds, so that some class would
            have to be empty.
    """
    levels = np.flatnonzero(histogram)
    if len(levels) <= count:
        raise ValueError(
            f"{count} thresholds need at least {count + 1} grey levels, the histogram has "
            f"{len(levels)}"
        )
    criterion = class_criterion(histogram).tolist()

    def cost(thresholds: Sequence[float]) -> float:
        below, total = -1, 0.0
        for threshold in thresholds:
            level = math.floor(threshold + 0.5)
            if level <= below or level >= BINS - 1:
                return math.inf
            total += criterion[below + 1][level]
            below = level
        return -(total + criterion[below + 1][BINS - 1])

    start = np.linspace(0, BINS - 1, count + 2)[1:-1].tolist()
    if cost(start) == math.inf:
        last_of_class = np.arange(1, count + 1) * len(levels) // (count + 1) - 1
        start = levels[last_of_class].astype(float).tolist()
    best = nelder_mead(cost, start, TOLERANCE_X, TOLERANCE_F)
    return np.array([math.floor(threshold + 0.5) for threshold in best])


def class_criterion(histogram: Int[np.ndarray, " 256"]) -> Float64[np.ndarray, "256 256"]:
    """Return w (m - m_all)^2 of the class of levels first..last as element [first, last].

    w is the share of pixels in the class, m its mean grey level and m_all that of all pixels, all
    from sums of the cumulative histogram. Classes without pixels have -inf.
    """
    pixels = np.concatenate([[0], np.cumsum(histogram)])
    levels = np.concatenate([[0], np.cumsum(histogram * np.arange(BINS))])
    class_pixels = pixels[None, 1:] - pixels[:-1, None]
    class_levels = levels[None, 1:] - levels[:-1, None]
    filled = class_pixels > 0
    means = np.divide(class_levels, class_pixels, out=np.zeros((BINS, BINS)), where=filled)
    variance = class_pixels / pixels[-1] * (means - levels[-1] / pixels[-1]) ** 2
    return np.where(filled, variance, -np.inf)


def nelder_mead(
    cost: Callable[[Sequence[float]], float],
    start: Sequence[float],
    tolerance_x: float,
    tolerance_f: float,
) -> list[float]:
    """Minimise `cost` from `start` by the simplex method of Lagarias et al., as `fminsearch` does.

    Stops when the best vertex and the others differ by at most `tolerance_x` in every coordinate
    and at most `tolerance_f` in cost, or after 200 evaluations or iterations per variable. Returns
    the best vertex.
    """
    count = len(start)
    limit = EVALUATIONS_PER_VARIABLE * count
    simplex = [list(start)]
    for i, value in enumerate(start):
        moved = (1 + FIRST_STEP) * value if value != 0 else FIRST_STEP_FROM_ZERO
        simplex.append([*start[:i], moved, *start[i + 1 :]])
    costs = [cost(vertex) for vertex in simplex]
    simplex, costs = _sorted(simplex, costs)
    evaluations, iterations = count + 1, 1

    while evaluations < limit and iterations < limit:
        if costs[-1] - costs[0] <= tolerance_f and _spread(simplex) <= tolerance_x:
            break
        # Added one by one as MATLAB does: from Python 3.12 on `sum` corrects the rounding.
        centre = [
            reduce(operator.add, column) / count for column in zip(*simplex[:-1], strict=True)
        ]
        worst = simplex[-1]

        new = _between(centre, worst, -REFLECTION)
        new_cost = cost(new)
        evaluations += 1
        shrink = False
        if new_cost < costs[0]:
            further = _between(centre, worst, -REFLECTION * EXPANSION)
            further_cost = cost(further)
            evaluations += 1
            if further_cost < new_cost:
                new, new_cost = further, further_cost
        elif new_cost >= costs[-2]:
            reflected_cost, outside = new_cost, new_cost < costs[-1]
            share = -REFLECTION * CONTRACTION if outside else CONTRACTION
            new = _between(centre, worst, share)
            new_cost = cost(new)
            evaluations += 1
            # A tie is good enough outside but not inside.
            shrink = new_cost > reflected_cost if outside else new_cost >= costs[-1]
        if shrink:
            best = simplex[0]
            simplex[1:] = [
                [b + SHRINKAGE * (v - b) for b, v in zip(best, vertex, strict=True)]
                for vertex in simplex[1:]
            ]
            costs[1:] = [cost(vertex) for vertex in simplex[1:]]
            evaluations += count
        else:
            simplex[-1], costs[-1] = new, new_cost
        simplex, costs = _sorted(simplex, costs)
        iterations += 1
    return simplex[0]


def _between(centre: list[float], worst: list[float], share: float) -> list[float]:
    """The point `share` of the way from `centre` to `worst`; on the far side if negative."""
    return [(1 - share) * c + share * w for c, w in zip(centre, worst, strict=True)]


def _sorted(
    simplex: list[list[float]], costs: list[float]
) -> tuple[list[list[float]], list[float]]:
    """Order the vertices by cost; equal ones keep their order."""
    order = sorted(range(len(costs)), key=costs.__getitem__)
    return [simplex[i] for i in order], [costs[i] for i in order]


def _spread(simplex: list[list[float]]) -> float:
    """Largest difference of a coordinate between the best vertex and another."""
    best = simplex[0]
    return max(abs(v - b) for vertex in simplex[1:] for v, b in zip(vertex, best, strict=True))
