"""KADID-10k's published mean human rating of each distortion and level.

`data/kadid10k_condition_means.csv` holds, for the 25 types and five levels, the mean over the 81
references of the published DMOS of KADID-10k (H. Lin, V. Hosu, D. Saupe: KADID-10k: A Large-scale
Artificially Distorted IQA Database, QoMEX 2019, doi:10.1109/QoMEX.2019.8743252; 30 degradation
category ratings per image). 1 is very annoying, 5 imperceptible: higher is better.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

import numpy as np
import pandas
from jaxtyping import Float64

LOWEST, HIGHEST = 1.0, 5.0  # ends of the rating scale


def condition_means() -> Mapping[tuple[int, int], float]:
    """Mean DMOS by (distortion id, level); 125 figures in 1..5."""
    table = resources.files("mlsp.databases") / "data" / "kadid10k_condition_means.csv"
    with resources.as_file(table) as path:
        means = pandas.read_csv(path, index_col=["distortion", "level"])["mean_dmos"]
    return means.to_dict()


def mean_ratings(conditions: Iterable[Sequence[int | str]]) -> Float64[np.ndarray, " n"]:
    """The mean DMOS of the condition of each of some pictures.

    Args:
        conditions: distortion id and level of each, as numbers or as tables hold them.

    Raises:
        KeyError: a condition is none of KADID-10k's.
    """
    means = condition_means()
    return np.array([means[int(distortion), int(level)] for distortion, level in conditions])
