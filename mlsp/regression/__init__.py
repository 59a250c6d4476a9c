"""Regressors from features to scores: the paper's network, support vectors."""

from mlsp.regression.examples import Examples, Weighting
from mlsp.regression.fitting import Outcome, fit, train_and_test
from mlsp.regression.regressor import Regressor, load_regressor, save_regressor
from mlsp.regression.settings import (
    KINDS,
    Execution,
    Kind,
    Loss,
    MLPSettings,
    Settings,
    SVRSettings,
    settings_of,
)

__all__ = [
    "KINDS",
    "Examples",
    "Execution",
    "Kind",
    "Loss",
    "MLPSettings",
    "Outcome",
    "Regressor",
    "SVRSettings",
    "Settings",
    "Weighting",
    "fit",
    "load_regressor",
    "save_regressor",
    "settings_of",
    "train_and_test",
]
