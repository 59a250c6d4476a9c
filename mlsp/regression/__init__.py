"""Regressors from features to scores: the paper's network, support vectors."""
