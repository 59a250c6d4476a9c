"""What more rated pictures would bring: test SROCC against the size of the training set.

KonIQ-10k, doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), section 6.2.3, figure 10 and table 4:
regressors are trained on growing parts of each split's training part ("when training on a larger
set size, items previously used from the smaller sets are included"), chosen and tested by the whole
validation and test parts, and

    f(x) = 1 - (x^a + b)^-1

is fitted to all points by least squares. It rises, to 1 for x to infinity, where a > 0. The paper
does not bound b: its own table 4 needs one of either sign (-1.9 for KonIQ-10k's test set,
above 0 for LIVE in the Wild). Here the smallest size decides: f is at least -1 there, which any
correlation is, and defined from there on.

"95% observational confidence bounds by bootstrapping" are taken as bounds of what one more
repetition would measure: repetitions are drawn with replacement, each with all its sizes, the curve
is fitted again, and a residual of the first fit is added. The bounds of the curve itself are those
without the residual. Few repetitions make both too narrow: a resample of n has (n - 1) / n of the
variance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import scipy.optimize
import scipy.stats
from jaxtyping import Float
from matplotlib import pyplot
from pandas import DataFrame

from mlsp.evaluation.benchmark_methods import CodebookMethod, Method
from mlsp.evaluation.benchmarking import Rated, Row, compare_methods
from mlsp.figures import drawing
from mtl.evaluation.splits import Split
from mtl.runtime.files import InputError, json_text, write_atomically
from mtl.runtime.progress import say, stage
from mtl.runtime.tables.csv_tables import table_text

TABLE, EXTRAPOLATION, FITS, PICTURE = (
    "learning_curve.csv",
    "learning_curve_extrapolated.csv",
    "learning_curve.json",
    "learning_curve.png",
)

FEWEST_PICTURES = 2  # of a training part; one has no deviation
FEWEST_SIZES = 2  # with a correlation, for a curve

# Of a: below the lowest the curve is flat, above the highest a thousand pictures more or less than
# another thousand decide between 0 and 1.
EXPONENTS = (1e-6, 2.0)
STARTS = (0.03, 0.1, 0.2, 0.3, 0.5, 1.0)  # of a
# Of x^a + b at the smallest size: f is -1 at the lowest, and 1 - 1e-6 at the highest.
DENOMINATORS = (0.5, 1e6)

RESAMPLES = 500
COVERAGE = 0.95  # nominal, of all bounds
EXTRAPOLATED_TO = 100_000  # section 6.2.3

COLORS = ("#2b6ab3", "#b3432b", "#3a8a4d", "#8a5fb0", "#b08a2b", "#555555")
DRAWN = 80  # points of a curve
ASIDE = 1.025  # by which a method's points are moved, so that they do not hide the one's before


@dataclass(frozen=True)
class Curve:
    """f(x) = 1 - (x^a + b)^-1."""

    a: float
    b: float

    def __call__(self, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """SROCC expected of x training pictures, no fewer than the fewest it was fitted to."""
        return 1 - 1 / (np.asarray(x, np.float64) ** self.a + self.b)


@dataclass(frozen=True)
class Bounds:
    """A fitted curve at some sizes, with its 95 % bounds."""

    sizes: Float[np.ndarray, " n"]
    srocc: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    """Of the curve."""
    high: Float[np.ndarray, " n"]
    observed_low: Float[np.ndarray, " n"]
    """Of one more repetition."""
    observed_high: Float[np.ndarray, " n"]


def even_sizes(splits: Sequence[Split], steps: int = 7) -> tuple[int, ...]:
    """Sizes in equal steps up to the smallest training part; the paper has seven."""
    largest = min(len(split.train) for split in splits)
    sizes = np.rint(np.linspace(0, largest, steps + 1)[1:]).astype(int)
    return tuple(sorted({int(size) for size in sizes if size >= FEWEST_PICTURES}))


def nested_splits(
    split: Split, references: Sequence[str], sizes: Sequence[int], *, seed: int, repetition: int
) -> list[Split]:
    """The split with training parts of growing size, each within the next.

    References enter in random order, whole: a part has the size, or what its last reference has
    above that. Validation and test stay as they are.

    Args:
        split: row numbers.
        references: of each row.
        sizes: pictures, rising.
        seed: decides the order, with the repetition.
        repetition: number of the split.

    Raises:
        ValueError: the sizes do not rise, or one is below two or above the training part's.
    """
    if list(sizes) != sorted(set(sizes)) or not sizes:
        raise ValueError(f"sizes {list(sizes)} must rise")
    if sizes[0] < FEWEST_PICTURES or sizes[-1] > len(split.train):
        raise ValueError(
            f"sizes {sizes[0]}..{sizes[-1]} must be within {FEWEST_PICTURES}..{len(split.train)}"
        )
    of = np.array([references[row] for row in split.train])
    names, inverse = np.unique(of, return_inverse=True)
    rank = np.random.default_rng([seed, repetition]).permutation(len(names))[inverse]
    order = np.argsort(rank, kind="stable")
    # Pictures up to the end of the reference of each, in the order in which they enter.
    up_to = np.searchsorted(rank[order], rank[order], side="right")
    return [
        Split(np.sort(split.train[order[: up_to[size - 1]]]), split.validation, split.test)
        for size in sizes
    ]


def learning_curve(
    methods: Sequence[Method | CodebookMethod],
    rated: Rated,
    references: Sequence[str],
    splits: Sequence[Split],
    sizes: Sequence[int],
    *,
    seed: int = 0,
    progress: bool = False,
) -> list[Row]:
    """Train and test every method on parts of each split's training part.

    Args:
        methods: regressors, each with a name of its own.
        rated: the pictures.
        references: of each picture.
        splits: of each repetition.
        sizes: of the training parts, in pictures.
        seed: of the parts and of training; repetition k trains with seed + k at every size.
        progress: report on standard error.

    Returns:
        Rows method, size (as asked), training (pictures), repetition, srocc (of the test part).

    Raises:
        InputError: a size is too small, too large or there twice; as `compare_methods`.
    """
    smallest = min(len(split.train) for split in splits)
    sizes = sorted(sizes)
    if len(set(sizes)) < len(sizes) or len(sizes) < 2:
        raise InputError(
            f"a learning curve of {_words(sizes)} pictures: give two or more different sizes"
        )
    if sizes[0] < FEWEST_PICTURES or sizes[-1] > smallest:
        raise InputError(
            f"a learning curve of {_words(sizes)} pictures: sizes must be from {FEWEST_PICTURES} to"
            f" the {smallest} pictures of the smallest training part"
        )
    nested = [
        nested_splits(split, references, sizes, seed=seed, repetition=k)
        for k, split in enumerate(splits)
    ]
    alone = [replace(method, others={}) for method in methods]  # other databases have no curve
    rows: list[Row] = []
    for place, size in enumerate(sizes):
        say(f"learning curve: {size} training pictures", show=progress)
        parts = [each[place] for each in nested]
        tested = compare_methods(alone, rated, parts, seed=seed, progress=progress)
        rows += [
            {
                "method": row["method"],
                "size": size,
                "training": len(parts[int(row["repetition"])].train),
                "repetition": row["repetition"],
                "srocc": row["srocc"],
            }
            for row in tested.repetitions
        ]
    return rows


def fit_curve(
    sizes: Float[np.ndarray, " n"], srocc: Float[np.ndarray, " n"], *, start: Curve | None = None
) -> Curve:
    """The curve with the least squared error found from several starts, or from one.

    Args:
        sizes: training pictures of each point, 1 or more.
        srocc: of each point; what is not finite is left out.
        start: a curve to begin at, in the place of the several.

    Raises:
        ValueError: the finite points have fewer than two different sizes, or a size is below 1.
    """
    sizes, srocc = np.asarray(sizes, np.float64), np.asarray(srocc, np.float64)
    known = np.isfinite(srocc)
    x, y = sizes[known], srocc[known]
    if len(set(x.tolist())) < FEWEST_SIZES or x.min() < 1:
        raise ValueError("a curve needs finite points of two or more sizes, none below 1")
    first = x.min()

    # Of a and of d = first^a + b, which is what the bounds are of.
    def residual(p: np.ndarray) -> np.ndarray:
        return 1 - 1 / (x ** p[0] - first ** p[0] + p[1]) - y

    def jacobian(p: np.ndarray) -> np.ndarray:
        power, least = x ** p[0], first ** p[0]
        inner = 1 / (power - least + p[1]) ** 2
        return np.stack([inner * (power * np.log(x) - least * np.log(first)), inner], axis=1)

    if start is not None:
        begun = [(start.a, first**start.a + start.b)]
    else:
        level = np.mean(y[x == first])
        begun = [(a, 1 / max(1 - level, 1 / DENOMINATORS[1])) for a in STARTS]
    low, high = np.array([EXPONENTS, DENOMINATORS]).T
    found = [
        scipy.optimize.least_squares(
            residual,
            np.clip(np.array(p, np.float64), low, high),
            jacobian,  # type: ignore[arg-type]
            bounds=(low, high),
            x_scale="jac",
        )
        for p in begun
    ]
    a, d = min(found, key=lambda each: each.cost).x
    return Curve(float(a), float(d - first**a))


def extrapolate(
    rows: Sequence[Row],
    sizes: Float[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    number: int = RESAMPLES,
) -> tuple[Curve, Bounds]:
    """Fit the rows of one method, and say what other sizes lead to.

    Args:
        rows: as `learning_curve` returns them.
        sizes: no smaller than the smallest of the rows.
        rng: of the resampled repetitions and residuals.
        number: of resamples.

    Raises:
        ValueError: as `fit_curve`; or a size is smaller than all that were tried.
    """
    x, y, of = DataFrame(rows, columns=["training", "srocc", "repetition"]).to_numpy(float).T
    sizes = np.asarray(sizes, np.float64)
    if sizes.min() < x.min():
        raise ValueError(f"size {sizes.min():g} is below {x.min():g}, the smallest that was tried")
    curve = fit_curve(x, y)
    residuals = (y - curve(x))[np.isfinite(y)]
    # A repetition with a correlation at one size only could make a resample without a curve.
    known = np.isfinite(y)
    members = [np.flatnonzero((of == k) & known) for k in np.unique(of)]
    members = [rows for rows in members if len(set(x[rows].tolist())) >= FEWEST_SIZES]
    if not members:
        raise ValueError(f"no repetition has a correlation at {FEWEST_SIZES} or more sizes")
    if len(members) == 1:  # resamples of one repetition are all itself; scipy asks for two
        members *= 2

    def refitted(drawn: np.ndarray) -> np.ndarray:
        chosen = np.concatenate([members[place] for place in drawn])
        # Sizes of references may differ between repetitions: a resample can begin above the first.
        return fit_curve(x[chosen], y[chosen], start=curve)(np.maximum(sizes, x[chosen].min()))

    found = scipy.stats.bootstrap(
        (np.arange(len(members)),),
        refitted,
        vectorized=False,
        n_resamples=number,
        confidence_level=COVERAGE,
        method="percentile",
        rng=rng,
    )
    curves = found.bootstrap_distribution.T
    observed = np.minimum(curves + rng.choice(residuals, curves.shape), 1)
    tails = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
    observed_low, observed_high = np.quantile(observed, tails, axis=0)
    low, high = found.confidence_interval
    return curve, Bounds(sizes, curve(sizes), low, high, observed_low, observed_high)


def write_learning_curves(
    out: Path,
    rows: Sequence[Row],
    *,
    seed: int = 0,
    extrapolated_to: int = EXTRAPOLATED_TO,
    progress: bool = False,
) -> dict[str, Curve]:
    """Fit a curve for each method and write everything; returns the curves.

    learning_curve.csv               the rows
    learning_curve_extrapolated.csv  method, size, srocc, low, high, observed_low, observed_high
    learning_curve.json              a and b of each method
    learning_curve.png               as figure 10

    Points without a correlation are counted on standard error. A method with too few others gets
    no curve.

    Args:
        out: folder.
        rows: as `learning_curve` returns them.
        seed: of the bootstrap.
        extrapolated_to: the last size of the table and the picture.
        progress: report on standard error.
    """
    names = list(dict.fromkeys(str(row["method"]) for row in rows))
    curves: dict[str, Curve] = {}
    bounds: dict[str, Bounds] = {}
    with stage("bounds of the learning curves", show=progress):
        for name in names:
            own = [row for row in rows if row["method"] == name]
            failed = sum(not np.isfinite(float(row["srocc"])) for row in own)
            if failed:
                say(
                    f"{name}: {failed} of {len(own)} points have no correlation (constant"
                    " predictions or scores) and are left out of the learning curve",
                    show=progress,
                )
            tried = sorted({float(row["training"]) for row in own})
            last = max(float(extrapolated_to), tried[-1])
            sizes = np.unique([*tried, *np.geomspace(tried[0], last, DRAWN)])
            rng = np.random.default_rng(seed)
            try:
                curves[name], bounds[name] = extrapolate(own, sizes, rng)
            except ValueError as error:
                say(f"{name}: no learning curve: {error}", show=progress)
    extrapolated = [
        {"method": name, **row}
        for name, each in bounds.items()
        for row in DataFrame(asdict(each)).rename(columns={"sizes": "size"}).to_dict("records")
    ]
    write_atomically(out / TABLE, table_text(rows))
    if not curves:
        for name in (EXTRAPOLATION, FITS, PICTURE):  # an earlier run's
            (out / name).unlink(missing_ok=True)
        return curves
    write_atomically(out / EXTRAPOLATION, table_text(extrapolated))
    fitted = {name: asdict(curve) for name, curve in curves.items()}
    write_atomically(out / FITS, json_text(fitted) + "\n")
    draw_learning_curves(out / PICTURE, rows, bounds)
    return curves


def draw_learning_curves(out: Path, rows: Sequence[Row], bounds: Mapping[str, Bounds]) -> None:
    """Points, fitted curves and their observational bounds, as a PNG file."""
    figure, axes = pyplot.subplots(
        figsize=(7.5, 4.6), dpi=drawing.DOTS_PER_INCH, layout="constrained"
    )
    for place, (name, each) in enumerate(bounds.items()):
        color = COLORS[place % len(COLORS)]
        own = [row for row in rows if row["method"] == name]
        axes.plot(
            [float(row["training"]) * ASIDE ** (place % len(COLORS)) for row in own],
            [float(row["srocc"]) for row in own],
            "o",
            color=color,
            alpha=0.4,
            markersize=3,
        )
        label = f"{name}: {each.srocc[-1]:.3f} at {each.sizes[-1]:,.0f}"
        axes.plot(each.sizes, each.srocc, color=color, label=label)
        axes.fill_between(
            each.sizes, each.observed_low, each.observed_high, color=color, alpha=0.15, linewidth=0
        )
    axes.set_xscale("log")
    axes.set_xlabel("training pictures")
    axes.set_ylabel("SROCC on the test part")
    axes.legend(frameon=False, fontsize=8)
    drawing.save(out, figure)


def _words(sizes: Sequence[int]) -> str:
    return " ".join(map(str, sizes))
