"""Quality models on disk, and predictions with them."""

from mlsp.prediction.predicting import predict

__all__ = ["predict"]
