"""Conventional methods, with which the features of networks are compared."""

from mlsp.baselines.baseline import Baseline
from mlsp.baselines.table import BASELINES

__all__ = ["BASELINES", "Baseline"]
