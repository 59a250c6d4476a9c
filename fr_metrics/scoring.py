"""Scoring pairs of images with one metric or with all of them."""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float

from fr_metrics.operations.images import Images, as_pairs
from fr_metrics.table import METRICS, Metric


def score(
    metric: str | Metric, reference: Images | np.ndarray, distorted: Images | np.ndarray
) -> Float[Array, "..."]:
    """Score distorted images against their reference with one metric.

    Args:
        metric: a name in :data:`fr_metrics.METRICS`, or a :class:`Metric` such as one of its
            values.
        reference: RGB, ``uint8`` in 0..255 or floating in 0..1, ``(H, W, 3)`` or ``(N, H, W, 3)``.
            A single reference is compared with every distorted image, its features being computed
            only once.
        distorted: the same kind of image or batch.

    Returns:
        One number for two single images, otherwise one per distorted image. Results have JAX's
        default floating dtype: float32, or float64 under ``jax_enable_x64``. ``uint8`` images are
        treated as the metrics' authors treat 8-bit images, including the rounding of gray values;
        floating images are not rounded and the score is differentiable in them.

    Raises:
        TypeError: not arrays, a dtype that is neither uint8 nor floating, or one of each.
        ValueError: an unknown metric, shapes that are not RGB images or do not match, images
            smaller than the metric's ``min_size``, or floating values outside 0..1 or NaN (not
            checked while JAX is tracing).
    """
    name = metric.name if isinstance(metric, Metric) else metric
    return score_all(reference, distorted, metrics=(metric,))[name]


def score_all(
    reference: Images | np.ndarray,
    distorted: Images | np.ndarray,
    metrics: Iterable[str | Metric] | None = None,
) -> dict[str, Float[Array, "..."]]:
    """Score distorted images against their reference with several metrics.

    Args:
        reference: as for :func:`score`.
        distorted: as for :func:`score`.
        metrics: the metrics to run, by name or themselves; all of :data:`fr_metrics.METRICS` if
            None.

    Returns:
        The scores by metric name, in the order of the table or of ``metrics``; shapes and dtype as
        for :func:`score`. Each metric compiles once per image and batch size.

    Raises:
        TypeError: as for :func:`score`.
        ValueError: as for :func:`score`.
    """
    if isinstance(metrics, str):
        raise TypeError(f"metrics must be a collection of names, got the string {metrics!r}")
    chosen = [_find_metric(each) for each in (METRICS if metrics is None else metrics)]
    first, second, single = as_pairs(
        reference, distorted, {metric.name: metric.min_size for metric in chosen}
    )
    # One program per metric, not one for all: sharing saves less than the larger working set costs
    # once it leaves the cache (15 against 11 ms per pair for five metrics on one CPU thread).
    # The images are traced there, so their values are not checked a second time.
    scores = {metric.name: _score_batch(metric.function, first, second) for metric in chosen}
    return {name: values[0] if single else values for name, values in scores.items()}


def _find_metric(metric: str | Metric) -> Metric:
    if isinstance(metric, Metric):
        return metric
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(METRICS)}")
    return METRICS[metric]


@partial(jax.jit, static_argnums=0)
def _score_batch(
    function: Callable[[Images, Images], Float[Array, " n"]], reference: Images, distorted: Images
) -> Float[Array, " n"]:
    return function(reference, distorted)
