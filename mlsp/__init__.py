"""MLSP features of a network, shallow regressors on them, and their evaluation."""
