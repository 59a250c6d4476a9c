"""The content indicator: clusters of deep features (k-means), as in KonIQ-10k, section 3.4.2.

The paper clusters VGG-16's 4096 activations into 200; here it is the last layer of the network of
the chosen model, averaged over the crop (`gap` of `mlsp.features.pooling`).
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

# From so many photographs on, each step looks at a part of them.
MANY = 10_000
BATCH = 4096
STARTS = 3  # of which the best is taken


def content_clusters(
    features: Float[np.ndarray, "n f"], clusters: int, seed: int
) -> Int[np.ndarray, " n"]:
    """The cluster of each photograph, numbered from the largest down.

    Args:
        features: a row per photograph.
        clusters: at most; fewer where fewer features differ.
        seed: of the first centres; the same clusters for the same seed.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    features = np.ascontiguousarray(features, np.float32)
    number = _distinct(features, clusters)
    options: dict[str, Any] = {"n_init": STARTS, "random_state": seed}
    kmeans = (
        KMeans(number, **options)
        if len(features) < MANY
        else MiniBatchKMeans(number, batch_size=BATCH, **options)
    )
    # With one thread sums are always added up in the same order.
    with threadpool_limits(1):
        found = kmeans.fit_predict(features)
    sizes = np.bincount(found, minlength=number)
    first = np.array([np.argmax(found == c) if sizes[c] else len(found) for c in range(number)])
    order = np.lexsort((first, -sizes))
    rank = np.empty(number, np.int64)
    rank[order] = np.arange(number)
    return rank[found]


def _distinct(features: Float[np.ndarray, "n f"], most: int) -> int:
    """How many rows differ, counted up to `most`."""
    seen: set[bytes] = set()
    for row in features:
        seen.add(row.tobytes())
        if len(seen) == most:
            break
    return len(seen)
