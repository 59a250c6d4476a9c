"""How predictions are judged.

DeepFL-IQA, arXiv:2001.08113, section V-B: the median of the correlations over repetitions of random
splits (mtl.splits) is reported.
"""

import numpy as np
import scipy.stats
from jaxtyping import Float

from mtl.correlation import plcc, srocc


def judge(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> dict[str, float]:
    """SROCC, PLCC (of the predictions as they are), KROCC and RMSE."""
    return {
        "srocc": srocc(predicted, true),
        "plcc": plcc(predicted, true),
        "krocc": float(scipy.stats.kendalltau(predicted, true).statistic),
        "rmse": float(np.sqrt(np.mean((predicted - true) ** 2))),
    }
