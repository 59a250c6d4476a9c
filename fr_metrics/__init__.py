"""Full-reference image quality metrics as pure, batched, differentiable JAX functions.

Images are RGB, ``uint8`` in 0..255 or floating in 0..1, of shape ``(H, W, 3)`` or
``(N, H, W, 3)``; a score is one number per pair of a reference and a distorted version.

``score``, ``score_all`` and the ``function`` of each row of ``METRICS`` check what they are given.
The functions in the modules, such as ``fr_metrics.ssim.ssim``, are the formulas behind them: they
take checked batches and check nothing.
"""

from fr_metrics.histogram_equalization import HistogramEqualization
from fr_metrics.scoring import score, score_all
from fr_metrics.table import METRICS, Metric

__all__ = ["METRICS", "HistogramEqualization", "Metric", "score", "score_all"]
