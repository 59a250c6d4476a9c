"""Pictures of several sizes on one canvas: every one's numbers are those it has alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mtl.network.inception_layers import Branches, ResidualBlock
from mtl.network.layers import ConvUnit
from mtl.network.maps import Map, average_pool

CANVAS = (64, 56)


class OfEachKind(nnx.Module):
    """Every kind of layer that InceptionResNetV2 and InceptionV3 have."""

    def __init__(self, rngs: nnx.Rngs):
        settings = {"momentum": 0.9, "dtype": jnp.float32, "rngs": rngs}

        def unit(a, b, kernel, stride=1, padding="SAME"):
            return ConvUnit((a, b), kernel, stride=stride, padding=padding, **settings)

        self.stem = nnx.List([unit(3, 6, 3, 2, "VALID"), unit(6, 6, 3, 1, "VALID"), unit(6, 8, 3)])
        fork = Branches([[unit(4, 2, (1, 3))], [unit(4, 2, (3, 1))]])
        self.first = Branches(
            [[unit(8, 4, 1)], [unit(8, 4, 1), unit(4, 4, 5), fork], [unit(8, 4, 1)]], pool="average"
        )
        self.residual = ResidualBlock(
            [[unit(12, 4, 1)], [unit(12, 4, 1), unit(4, 4, (1, 7)), unit(4, 4, (7, 1))]],
            8,
            12,
            0.2,
            dtype=jnp.float32,
            rngs=rngs,
        )
        self.second = Branches(
            [[unit(12, 6, 3, 2, "VALID")], [unit(12, 4, 1), unit(4, 4, 3, 2, "VALID")]], pool="max"
        )

    def __call__(self, x: Map) -> list[Map]:
        for layer in self.stem:
            x = layer.on(x)
        first = self.first.on(x)
        y, mixed = self.residual(first)
        return [x, first, y, mixed, self.second.on(y)]


@pytest.fixture(scope="module")
def maps():
    """The network as a function of a `Map`, compiled for its shape."""
    graph, state = nnx.split(nnx.eval_shape(lambda: OfEachKind(nnx.Rngs(0))))
    rng = np.random.default_rng(1)
    # As after training: neither zeros nor ones anywhere, so that what leaks in is seen.
    filled = jax.tree.map(lambda a: rng.uniform(-0.4, 0.6, a.shape).astype(np.float32), state)
    for path, variable in nnx.to_flat_state(filled):
        if path[-1] == "var":
            variable.set_value(np.abs(variable.get_value()) + 0.5)

    def run(x: Map) -> list[Map]:
        model = nnx.merge(graph, filled)
        model.eval()
        return model(x)

    return jax.jit(run)


SIZES = [(15, 56), (37, 40), (64, 55), (50, 15), (33, 56)]


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(1, h, w, 3)).astype(np.float32) for h, w in SIZES]


def canvas_of(pictures, outside):
    canvas = np.full((len(pictures), *CANVAS, 3), outside, np.float32)
    for k, picture in enumerate(pictures):
        canvas[k, : picture.shape[1], : picture.shape[2]] = picture[0]
    return canvas


@pytest.mark.parametrize("outside", [0.0, 1e3])
def test_a_canvas_changes_no_numbers(maps, pictures, outside):
    together = maps(Map(canvas_of(pictures, outside), np.array(SIZES)))
    means = [m.mean() for m in together]
    for k, picture in enumerate(pictures):
        for alone, ours, mean in zip(maps(Map(picture)), together, means, strict=True):
            h, w = alone.values.shape[1:3]
            assert ours.sizes[k].tolist() == [h, w]
            np.testing.assert_allclose(
                ours.values[k, :h, :w], alone.values[0], rtol=1e-4, atol=1e-5
            )
            np.testing.assert_allclose(
                mean[k], alone.values.mean(axis=(1, 2))[0], rtol=2e-5, atol=2e-6
            )


def test_without_sizes_the_numbers_would_differ(maps, pictures):
    """Else the test above could not fail: padding must have an influence here."""
    unmasked = maps(Map(canvas_of(pictures, 0.0)))
    for alone, ours in zip(maps(Map(pictures[1]))[1:], unmasked[1:], strict=True):
        h, w = alone.values.shape[1:3]
        assert not np.allclose(ours.values[1, :h, :w], alone.values[0], atol=1e-2)


def test_the_average_pool_counts_no_padding():
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    canvas = jnp.full((1, 5, 6, 1), 1e6).at[:, :3, :4].set(x)
    (alone, _), (masked, _) = average_pool(Map(x)), average_pool(Map(canvas, jnp.array([[3, 4]])))
    np.testing.assert_allclose(masked[:, :3, :4], alone, rtol=1e-6)
    assert alone[0, 0, 0, 0] == (0 + 1 + 4 + 5) / 4


def test_a_padded_layer_with_a_stride_is_refused():
    unit = ConvUnit((3, 4), 3, stride=2, momentum=0.9, dtype=jnp.float32, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="no common grid"):
        unit.on(Map(jnp.ones((1, 9, 9, 3)), jnp.array([[7, 7]])))
