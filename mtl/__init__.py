"""Multi-task learning: from photographs to a network that predicts full-reference scores."""
