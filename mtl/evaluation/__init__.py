"""Hold what every evaluation rests on: correlations, splits by reference, what a model has seen."""
