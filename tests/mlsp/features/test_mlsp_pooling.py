"""Kinds of features, and the canvases that pictures of many sizes share."""

from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsp.features import canvases
from mlsp.features.canvases import batch_size, canvas_for, canvas_side, check_size, on_canvas
from mlsp.features.pooling import WIDE, Kind, feature_shape, pooled
from mtl.network.inception_resnet_v2 import BLOCKS
from mtl.network.maps import PYRAMID, Map, grid_means
from mtl.runtime.files import InputError
from mtl.runtime.memory import free_memory


def adaptive_average(x, cells):
    """PyTorch's AdaptiveAvgPool2d as its documentation defines it, place by place."""
    h, w, _ = x.shape
    out = np.zeros((cells, cells, x.shape[2]))
    for i in range(cells):
        for j in range(cells):
            top, bottom = int(np.floor(i * h / cells)), int(np.ceil((i + 1) * h / cells))
            left, right = int(np.floor(j * w / cells)), int(np.ceil((j + 1) * w / cells))
            out[i, j] = x[top:bottom, left:right].mean(axis=(0, 1))
    return out


@pytest.mark.parametrize("cells", [1, 2, 3, 5])
def test_a_grid_is_adaptive_average_pooling_of_each_picture(cells):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 11, 13, 6)).astype(np.float32)
    sizes = np.array([[11, 13], [1, 1], [7, 4], [3, 13]])
    found = np.asarray(grid_means(Map(jnp.asarray(values), jnp.asarray(sizes)), cells))
    for k, (h, w) in enumerate(sizes):
        np.testing.assert_allclose(found[k], adaptive_average(values[k, :h, :w], cells), atol=1e-6)
    whole = np.asarray(grid_means(Map(jnp.asarray(values)), cells))
    np.testing.assert_allclose(whole[1], adaptive_average(values[1], cells), atol=1e-6)


def test_every_kind_has_its_shape_and_order():
    rng = np.random.default_rng(1)
    last = Map(jnp.asarray(rng.normal(size=(2, 4, 3, 1536)), jnp.float32))
    blocks = {
        name: Map(jnp.full((2, 6, 6, channels), float(k)))
        for k, (name, channels) in enumerate(BLOCKS)
    }
    found = {kind: np.asarray(pooled(kind, last, blocks)) for kind in get_args(Kind)}
    shapes = {kind: feature_shape(kind) for kind in found}
    assert {kind: rows.shape[1:] for kind, rows in found.items()} == shapes
    assert shapes == {
        "mlsp": (16_928,),
        "gap": (1_536,),
        "spp": (21_504,),
        "mlsp-wide": (5, 5, 16_928),
    }
    np.testing.assert_allclose(found["gap"], last.values.mean(axis=(1, 2)), atol=1e-6)
    start = 0
    for cells in PYRAMID:
        grid = adaptive_average(np.asarray(last.values[1]), cells).reshape(-1)
        np.testing.assert_allclose(found["spp"][1, start : start + grid.size], grid, atol=1e-5)
        start += grid.size
    np.testing.assert_allclose(found["mlsp-wide"][0, WIDE - 1, 0], found["mlsp"][0], rtol=1e-5)
    assert found["mlsp"][0, 0] == 0 and found["mlsp"][0, -1] == len(BLOCKS) - 1


@given(st.integers(75, 20_000))
def test_a_canvas_wastes_an_eighth_of_a_side_at_most(side):
    padded = canvas_side(side)
    assert padded >= side and canvas_side(padded) == padded
    assert padded - side < max(32, side / 8)


def test_few_canvases_serve_many_sizes():
    sizes = {k: (300 + 3 * k, 400 + 5 * k) for k in range(60)}
    found = canvases.canvases(sizes)
    assert sorted(i for group in found.values() for i in group) == list(sizes)
    assert len(found) <= 15
    assert all(sizes[i][0] <= h and sizes[i][1] <= w for (h, w), g in found.items() for i in g)
    alone = canvases.canvases({0: (333, 500), 1: (333, 500), 2: (90, 80), 3: (80, 90)})
    assert alone == {(96, 96): [2, 3], (333, 500): [0, 1]}  # one size is padded to nothing


def test_batches_shrink_as_pictures_grow():
    for backend, canvas, number, expected in (
        ("gpu", (384, 512), 100, 8),
        ("gpu", (384, 512), 3, 2),
        ("gpu", (768, 1024), 100, 2),
        ("gpu", (3000, 4000), 100, 1),
        ("cpu", (384, 512), 100, 1),
        ("cpu", (192, 256), 100, 2),
        ("cpu", (96, 96), 100, 8),
    ):
        assert batch_size(canvas, number, backend=backend) == expected


def test_pictures_lie_in_the_corner_and_the_last_fills_the_batch():
    one, two = np.full((2, 3, 3), 7, np.uint8), np.full((4, 4, 3), 9, np.uint8)
    batch, sizes = on_canvas([one, two], (4, 4), 4)
    assert sizes is not None and sizes.tolist() == [[2, 3], [4, 4], [4, 4], [4, 4]]
    assert batch[0].sum() == one.sum() and (batch[3] == 9).all()
    assert on_canvas([two], (4, 4), 2)[1] is None


def test_what_memory_cannot_hold_is_refused_with_figures():
    check_size((3000, 4000), 10 * 10**9)
    with pytest.raises(InputError, match=r"12000×9000 pixels need about 4\d\.\d GB .* 16\.0 GB"):
        check_size((9000, 12000), 16 * 10**9)
    check_size(canvas_for((9000, 12000)), None)
    with pytest.raises(InputError, match="at least 75×75"):
        check_size((74, 500), None)
    free = free_memory()
    assert free is None or 0 < free < 10**15
