"""NASNet-A (4 @ 1056) in Flax NNX, layer for layer the NASNetMobile of `keras.applications`.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition,
CVPR 2018, arXiv:1707.07012; the cells are those of figure 4. NHWC. Each cell takes the outputs of
the two cells before it and concatenates sums of separable convolutions and pools of them.

The MLSP blocks are the concatenations of the sixteen cells, before any ReLU, by Keras' names: 44 +
88 + 4·264 + 352 + 4·528 + 704 + 4·1056 = 8,580 channels. The last layer is the ReLU of the last.

A layer that strides pads like TensorFlow's "SAME", with one place of zeros fewer before an even
side than before an odd one. The ImageNet weights were trained so, and Keras does it where it knows
the size of its input. A layer's grid then depends on the picture's size, so pictures of several
sizes cannot share a canvas and are described size by size.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mtl.network.depthwise import DepthwiseConv
from mtl.network.keras_weights import (
    KerasLayer,
    KerasWeights,
    convolution,
    normalisation,
    separable_convolution,
)
from mtl.network.layers import (
    BATCH_NORM_MOMENTUM,
    RGB,
    BatchNorm,
    ConvolutionalBody,
    ConvUnit,
    UnitStyle,
    check_images,
    check_width,
)
from mtl.network.maps import Map, average_pool, max_pool

STEM = 32  # channels of the first convolution; Keras' stem_block_filters
FILTERS = 44  # of the first normal cells; Keras' penultimate_filters // 24
REPEATS = 4  # normal cells between reductions; Keras' num_blocks
SMALLEST_SIDE = 32  # pixels; Keras' min_size
# The first cell has 11 filters and the convolution before it 32 channels: no smaller share of both
# is a whole number.
WIDTHS = (1.0,)
STYLE = UnitStyle(scale=True)


class CellPlan(NamedTuple):
    """State what a cell is."""

    id: str
    """What Keras' names of its layers end with."""
    filters: int
    """Channels of each of its convolutions."""
    reduces: bool
    """Whether it halves height and width."""

    @property
    def block(self) -> str:
        """Keras' name of its output."""
        return f"{'reduction' if self.reduces else 'normal'}_concat_{self.id}"

    @property
    def channels(self) -> int:
        """Channels of its output: of four sums, or of five and the input before the last."""
        return (4 if self.reduces else 6) * self.filters


def cell_plans() -> Iterator[CellPlan]:
    """Yield the sixteen cells by depth; Keras counts normal cells past each reduction."""
    yield CellPlan("stem_1", FILTERS // 4, True)
    yield CellPlan("stem_2", FILTERS // 2, True)
    for stage in range(3):
        filters, first = FILTERS * 2**stage, REPEATS * stage
        if stage:
            yield CellPlan(f"reduce_{first}", filters, True)
            first += 1
        for k in range(first, first + REPEATS):
            yield CellPlan(f"{k}", filters, False)


CELLS = tuple(cell_plans())
BLOCKS: tuple[tuple[str, int], ...] = tuple((cell.block, cell.channels) for cell in CELLS)
FEATURES = CELLS[-1].channels


class Branch(NamedTuple):
    """State one of a cell's branches of two separable convolutions."""

    name: str
    """As in Keras."""
    kernel: int
    """Height and width of the depthwise convolutions."""
    takes: str
    """The input: "last" or "older", or "first sum" for the sum of left1 and right1."""
    below: int
    """Layers of Keras from the branch's sum to the cell's output."""

    def stride(self, plan: CellPlan) -> int:
        """Return the stride of the first convolution."""
        return 2 if plan.reduces and self.takes != "first sum" else 1


# In the order in which Keras finds them, walking from a cell's output to its inputs.
NORMAL = (
    Branch("left1", 5, "last", 1),
    Branch("right1", 3, "older", 1),
    Branch("left2", 5, "older", 1),
    Branch("right2", 3, "older", 1),
    Branch("left5", 3, "last", 1),
)
REDUCTION = (
    Branch("right2", 7, "older", 2),
    Branch("right3", 5, "older", 1),
    Branch("left1", 5, "last", 8),
    Branch("right1", 7, "older", 8),
    Branch("left4", 3, "first sum", 1),
)

Activations = Float[Array, "n h w c"]


class Separable(nnx.Module):
    """ReLU, a depthwise and a pointwise convolution without bias, and batch normalisation.

    Args:
        channels: of input and output.
        kernel: height and width of the depthwise convolution.
        stride: of the depthwise convolution.
        momentum: of the running statistics.
        dtype: of the convolutions.
        rngs: random streams.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: int,
        *,
        stride: int = 1,
        momentum: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.depthwise = DepthwiseConv(channels[0], kernel, stride=stride, dtype=dtype)
        self.pointwise = nnx.Conv(*channels, (1, 1), use_bias=False, dtype=dtype, rngs=rngs)
        self.norm = BatchNorm(channels[1], momentum, scale=STYLE.scale, epsilon=STYLE.epsilon)

    def __call__(self, x: Activations) -> Activations:
        """Rectify, convolve and normalise."""
        return self.norm(self.pointwise(self.depthwise(nnx.relu(x))))


class FactorizedReduction(nnx.Module):
    """Halve height and width by 1×1 convolutions of every second place, and normalise.

    One half of the output's channels sees the first, third, ... row and column, the other half the
    second, fourth, ..., with zeros beyond the edge.

    Args:
        channels: of input and output.
        momentum: of the running statistics.
        dtype: of the convolutions.
        rngs: random streams.
    """

    def __init__(
        self, channels: tuple[int, int], *, momentum: float, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        ends = channels[0], channels[1] // 2
        conv = partial(nnx.Conv, *ends, (1, 1), use_bias=False, dtype=dtype, rngs=rngs)
        self.convs = nnx.List([conv(), conv()])
        self.norm = BatchNorm(channels[1], momentum, scale=STYLE.scale, epsilon=STYLE.epsilon)

    def linear(self, x: Activations) -> Activations:
        """Convolve and normalise; sides are rounded up."""
        first, second = self.convs
        shifted = jnp.pad(x[:, 1:, 1:], ((0, 0), (0, 1), (0, 1), (0, 0)))
        halves = first(x[:, ::2, ::2]), second(shifted[:, ::2, ::2])
        return self.norm(jnp.concatenate(halves, axis=-1))


class Cell(nnx.Module):
    """Concatenate sums of separable convolutions and pools of the last two cells' outputs.

    Args:
        number: place of the cell in CELLS.
        momentum: of the running statistics.
        dtype: of the convolutions.
        rngs: random streams.
    """

    def __init__(self, number: int, *, momentum: float, dtype: DTypeLike, rngs: nnx.Rngs):
        plan = CELLS[number]
        before, last = (STEM, STEM, *(cell.channels for cell in CELLS))[number : number + 2]
        settings = {"momentum": momentum, "dtype": dtype, "rngs": rngs}
        project = partial(ConvUnit, kernel=1, padding="VALID", style=STYLE, **settings)
        filters = plan.filters
        self.squeeze = project((last, filters))
        adjust = partial(FactorizedReduction, **settings) if halves_older(number) else project
        # The first cell takes its only input as it is for the older one.
        self.adjust = adjust((before, filters)) if number else None
        self.branches = nnx.Dict()
        for branch in REDUCTION if plan.reduces else NORMAL:
            channels = before if branch.takes == "older" and not number else filters
            separable = partial(Separable, kernel=branch.kernel, **settings)
            self.branches[branch.name] = nnx.List(
                [
                    separable((channels, filters), stride=branch.stride(plan)),
                    separable((filters, filters)),
                ]
            )
        self.reduces = plan.reduces

    def __call__(self, older: Activations, last: Activations) -> Activations:
        """Return the concatenation.

        Args:
            older: output of the cell before the last one.
            last: output of the last cell.
        """
        last = self.squeeze.linear(nnx.relu(last))
        if self.adjust is not None:
            older = self.adjust.linear(nnx.relu(older))
        parts = self._reduced(older, last) if self.reduces else self._normal(older, last)
        return jnp.concatenate(parts, axis=-1)

    def _branch(self, name: str, x: Activations) -> Activations:
        first, second = self.branches[name]
        return second(first(x))

    def _normal(self, older: Activations, last: Activations) -> list[Activations]:
        return [
            older,
            self._branch("left1", last) + self._branch("right1", older),
            self._branch("left2", older) + self._branch("right2", older),
            _averages(last) + older,
            2 * _averages(older),
            self._branch("left5", last) + last,
        ]

    def _reduced(self, older: Activations, last: Activations) -> list[Activations]:
        # Pools see the zeros around their input.
        rows, columns = ((length % 2, 1) for length in last.shape[1:3])
        padded = jnp.pad(last, ((0, 0), rows, columns, (0, 0)))
        largest = max_pool(padded)
        first = self._branch("left1", last) + self._branch("right1", older)
        second = largest + self._branch("right2", older)
        return [
            second,
            nnx.avg_pool(padded, (3, 3), (2, 2), "VALID") + self._branch("right3", older),
            second + _averages(first),
            self._branch("left4", first) + largest,
        ]


def _averages(x: Activations) -> Activations:
    return average_pool(Map(x)).values


def halves_older(number: int) -> bool:
    """Return whether a cell's older input is twice as large: whether the cell before it reduces."""
    return number > 0 and CELLS[number - 1].reduces


class NASNetMobile(ConvolutionalBody):
    """The convolutional body; its momentum in Keras is 0.9997."""

    def __init__(
        self,
        *,
        width: float = 1.0,
        momentum: float = BATCH_NORM_MOMENTUM,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        check_width(width, WIDTHS)
        self.remat = remat
        self.features = FEATURES
        settings = {"momentum": momentum, "dtype": dtype, "rngs": rngs}
        self.stem = ConvUnit((RGB, STEM), 3, stride=2, padding="VALID", style=STYLE, **settings)
        self.cells = nnx.List([Cell(number, **settings) for number in range(len(CELLS))])

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Return the ReLU of the last cell, and the outputs of all cells by name.

        Args:
            images: as the base class takes them.
            sizes: must be None.

        Raises:
            ValueError: the images are too small, or there are sizes.
        """
        check_images("NASNetMobile", images, SMALLEST_SIDE)
        if sizes is not None:
            raise ValueError(
                "NASNetMobile pads before strides by the size of a picture: it has no common grid"
                " for all sizes"
            )
        activations: dict[str, Map] = {}
        last = older = self.stem.linear(images)
        apply = nnx.remat(_apply) if self.remat else _apply
        for plan, cell in zip(CELLS, self.cells, strict=True):
            older, last = last, apply(cell, older, last)
            activations[plan.block] = Map(last)
        return Map(nnx.relu(last)), activations


def _apply(cell: Cell, older: Activations, last: Activations) -> Activations:
    return cell(older, last)


def cell_layers(number: int) -> Iterator[KerasLayer]:
    """Yield the layers of a cell, those of a kind in the order in which Keras keeps them.

    Keras sorts layers by their distance from the output, and layers of one distance in the order
    in which it finds them from the output on. No layer of a cell with weights is as far as one of
    another cell.

    Args:
        number: place of the cell in CELLS.
    """
    plan, path = CELLS[number], f"body/cells/{number}"
    kind, known = ("reduction", REDUCTION) if plan.reduces else ("normal", NORMAL)

    def unit(name: str, norm: str, place: str) -> list[KerasLayer]:
        return [
            convolution(f"{name}_{plan.id}", f"{path}/{place}/conv"),
            normalisation(f"{norm}_{plan.id}", f"{path}/{place}/norm", scale=True),
        ]

    adjust = []
    if halves_older(number):
        for k in range(2):
            yield convolution(f"adjust_conv_{k + 1}_{plan.id}", f"{path}/adjust/convs/{k}")
        adjust = unit("adjust_conv_projection", "adjust_bn", "adjust")[1:]
    elif number:
        adjust = unit("adjust_conv_projection", "adjust_bn", "adjust")
    squeeze = unit(f"{kind}_conv_1", f"{kind}_bn_1", "squeeze")
    yield from squeeze + adjust if plan.reduces else adjust + squeeze

    layers: list[tuple[int, KerasLayer]] = []
    for branch in known:
        place, end = f"{path}/branches/{branch.name}", f"{kind}_{branch.name}_{plan.id}"
        # A normalisation, a separable convolution and a ReLU, twice, from the sum on.
        for k, beyond in ((0, 4), (1, 1)):
            norm = normalisation(
                f"separable_conv_{k + 1}_bn_{end}", f"{place}/{k}/norm", scale=True
            )
            separable = separable_convolution(f"separable_conv_{k + 1}_{end}", f"{place}/{k}")
            layers.append((branch.below + beyond, norm))
            layers.append((branch.below + beyond + 1, separable))
    yield from (layer for _, layer in sorted(layers, key=lambda pair: -pair[0]))


def keras_layers() -> Iterator[KerasLayer]:
    """Yield all layers with weights, those of a kind in the order in which Keras keeps them."""
    yield convolution("stem_conv1", "body/stem/conv")
    yield normalisation("stem_bn1", "body/stem/norm", scale=True)
    for number in range(len(CELLS)):
        yield from cell_layers(number)


# As in keras/src/applications/nasnet.py, Keras 3.15: address, and MD5 by file.
KERAS = KerasWeights(
    layers=tuple(keras_layers()),
    address="https://storage.googleapis.com/tensorflow/keras-applications/nasnet/",
    file="NASNet-mobile-no-top.h5",
    digests={
        "NASNet-mobile-no-top.h5": "1ed92395b5b598bdda52abe5c0dbfd63",
        "NASNet-mobile.h5": "020fb642bf7360b370c678b08e0adf61",
    },
)
