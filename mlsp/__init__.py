"""MLSP features of InceptionResNetV2, shallow regressors on them, and their evaluation."""

from mlsp.benchmark import benchmark
from mlsp.blocks import BLOCKS
from mlsp.extract import extract
from mlsp.predict import Predictor

__all__ = ["BLOCKS", "Predictor", "benchmark", "extract"]
