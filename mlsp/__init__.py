"""MLSP features of a network, shallow regressors on them, and their evaluation.

Rooms, each built on those above it and on `mtl`:

    features       blocks pooled into features, crops, sources of pictures, the feature store
    figures        drawing
    regression     the paper's network and support vectors
    databases      rated databases, one row each
    baselines      the table of conventional methods
    prediction     quality models, conditions, predictions
    evaluation     measures, splits, benchmarks, learning curves
    comparisons    learning schemes, training tasks, networks
    choosing       KonIQ-10k's balanced selection
    report         the page on a run
    demonstration  every stage on sample photographs
"""
