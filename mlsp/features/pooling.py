"""Kinds of features: which activations are pooled, and over what grid.

- `mlsp`: the network's blocks, each averaged over the picture: 16,928 numbers of
  InceptionResNetV2's 43. DeepFL-IQA, arXiv:2001.08113, section IV-C ("narrow" MLSP of Hosu et al.,
  arXiv:1904.01382).
- `mlsp-wide`: the blocks, each averaged over a grid of 5×5: (5, 5, 16928). Hosu et al., whose
  "wide" MLSP resizes activations to 5×5.
- `gap`: the last layer averaged over the picture, 1,536 numbers of InceptionResNetV2. KonIQ-10k,
  doi:10.1109/TIP.2020.2967829, section 6.2.5 and table 5.
- `spp`: the same averaged over grids of 1×1, 2×2 and 3×3 ("spatial pyramid pooling, with average
  pooling and sizes 1, 2, 3", table 5): 21,504 numbers, the grids in this order, each row by row.

The grids are those of `mtl.network.maps`. The lengths are those of InceptionResNetV2 at its full
width; `feature_shape` has those of any network.
"""

from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from mtl.network.maps import PYRAMID_CELLS, Map, grid_means, pyramid_means
from mtl.network.networks import DEFAULT, NETWORKS, Network

Kind = Literal["mlsp", "gap", "spp", "mlsp-wide"]

WIDE = 5  # cells a side of the wide MLSP features


def feature_shape(
    kind: Kind, width: float = 1.0, network: Network = NETWORKS[DEFAULT]
) -> tuple[int, ...]:
    """Return the shape of one picture's features.

    Args:
        kind: of the features.
        width: share of the channels that the network's layers have.
        network: whose features they are.
    """
    length, last = round(network.length * width), round(network.features * width)
    return {
        "mlsp": (length,),
        "gap": (last,),
        "spp": (last * PYRAMID_CELLS,),
        "mlsp-wide": (WIDE, WIDE, length),
    }[kind]


def pooled(kind: Kind, last: Map, blocks: Mapping[str, Map]) -> Float[Array, "n ..."]:
    """Return the features of a batch, (n, *feature_shape(kind)), from a body's `maps`.

    Args:
        kind: of the features.
        last: activations of the last layer.
        blocks: activations of the blocks by name, in the order in which they are joined.
    """
    if kind == "mlsp":
        return jnp.concatenate([block.mean() for block in blocks.values()], axis=1)
    if kind == "mlsp-wide":
        return jnp.concatenate([grid_means(block, WIDE) for block in blocks.values()], axis=-1)
    if kind == "gap":
        return last.mean()
    return pyramid_means(last)
