"""How predictions are judged.

DeepFL-IQA, arXiv:2001.08113, section V-B: the median of the correlations over repetitions of random
splits (mtl.evaluation.splits) is reported, the linear one after the five-parameter logistic of H.
R. Sheikh, M. F. Sabir, A. C. Bovik 2006, doi:10.1109/TIP.2006.881959, is fitted to the predictions.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from mlsp.evaluation.logistic import plcc_logistic
from mtl.evaluation.correlation import krocc, plcc, srocc
from mtl.evaluation.splits import FEWEST_PICTURES as FEWEST_CORRELATED

# Those that mean something for scores on a scale of their own, and all.
CORRELATIONS = ("srocc", "plcc", "plcc_logistic", "krocc")
MEASURES = (*CORRELATIONS, "rmse", "mae")

MULTIPLES = (1, 2, 3)  # of the raters' deviations, that errors are held against


def judge(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> dict[str, float]:
    """MEASURES: SROCC, PLCC as they are and after the logistic, KROCC (tau-b), RMSE and MAE.

    The errors are those of the predictions as they are, on the users' scale. Fewer than three
    pictures have no correlation: two always correlate with 1 or -1.
    """
    error = predicted - true
    if len(error) < FEWEST_CORRELATED:
        return dict.fromkeys(CORRELATIONS, float("nan")) | {
            "rmse": float(np.sqrt(np.mean(error**2))),
            "mae": float(np.mean(np.abs(error))),
        }
    return {
        "srocc": srocc(predicted, true),
        "plcc": plcc(predicted, true),
        "plcc_logistic": plcc_logistic(predicted, true),
        "krocc": krocc(predicted, true),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
    }


def quartiles(values: Iterable[float]) -> dict[str, float]:
    """median, q1 and q3 of the values that are finite; NaN where none is."""
    finite = [value for value in values if np.isfinite(value)]
    found = np.percentile(finite, (50, 25, 75)) if finite else (np.nan,) * 3
    return {name: float(v) for name, v in zip(("median", "q1", "q3"), found, strict=True)}


def medians(
    measured: Sequence[Mapping[str, float]], names: Iterable[str]
) -> dict[str, float | int]:
    """Return the medians and quartiles of measures over repetitions.

    A repetition without an SROCC, since its predictions or its scores are constant, is counted
    apart and left out of every median, the errors' too: a method must not gain by failing.

    Args:
        measured: of each repetition, measures by name; `srocc` is one of them.
        names: of the measures to summarise.

    Returns:
        repetitions (that the medians are of), without_correlation (repetitions left out), then
        NAME_median, NAME_q1 and NAME_q3; NaN where no repetition has a finite value.
    """
    kept = [each for each in measured if np.isfinite(each["srocc"])]
    row: dict[str, float | int] = {
        "repetitions": len(kept),
        "without_correlation": len(measured) - len(kept),
    }
    for name in names:
        found = quartiles(each[name] for each in kept)
        row |= {f"{name}_{which}": value for which, value in found.items()}
    return row


def share_within(
    predicted: Float[np.ndarray, " n"],
    true: Float[np.ndarray, " n"],
    deviations: Float[np.ndarray, " n"],
) -> dict[str, float]:
    """Shares, 0..1, of pictures whose error is below 1, 2 and 3 of its raters' deviations.

    DeepBIQ, arXiv:1602.05531, section 3.3: "we divide the absolute prediction error of each image
    by the standard deviation of the subjective scores for that particular image".

    Args:
        predicted: scores.
        true: scores.
        deviations: of the single ratings of each picture, on the scale of the scores, at least 0
            (0, where all agreed, is below no multiple).

    Raises:
        ValueError: the lengths differ, or a deviation is negative or not finite.
    """
    if not len(predicted) == len(true) == len(deviations) > 0:
        raise ValueError(
            f"{len(predicted)} predictions, {len(true)} scores and {len(deviations)} deviations"
        )
    deviations = np.asarray(deviations, np.float64)
    if not (deviations >= 0).all() or not np.isfinite(deviations).all():
        raise ValueError("deviations must be finite and at least 0")
    error = np.abs(np.asarray(predicted, np.float64) - true)
    return {f"within_{k}_sigma": float(np.mean(error < k * deviations)) for k in MULTIPLES}


def srocc_by_distortion(
    predicted: Float[np.ndarray, " n"],
    true: Float[np.ndarray, " n"],
    distortions: Sequence[str],
) -> dict[str, float]:
    """SROCC among the pictures of each distortion, in the order in which they first come.

    Raises:
        ValueError: the lengths differ.
    """
    if not len(predicted) == len(true) == len(distortions):
        raise ValueError(
            f"{len(predicted)} predictions, {len(true)} scores and {len(distortions)} distortions"
        )
    of = np.asarray(distortions)
    found = {}
    for name in dict.fromkeys(distortions):
        rows = of == name
        few = rows.sum() < FEWEST_CORRELATED
        found[name] = float("nan") if few else srocc(predicted[rows], true[rows])
    return found


def distortion_table(
    repetitions: Sequence[Mapping[str, float]],
) -> list[dict[str, str | int | float]]:
    """A row per distortion, from `srocc_by_distortion` of each repetition.

    distortion, repetitions (in which it has a correlation), srocc_median, srocc_q1, srocc_q3.
    """
    names = dict.fromkeys(name for found in repetitions for name in found)
    rows: list[dict[str, str | int | float]] = []
    for name in names:
        values = [found[name] for found in repetitions if np.isfinite(found.get(name, np.nan))]
        row: dict[str, str | int | float] = {"distortion": name, "repetitions": len(values)}
        rows.append(row | {f"srocc_{k}": v for k, v in quartiles(values).items()})
    return rows
