"""Multi-task training on the scores of a KADIS data set."""
