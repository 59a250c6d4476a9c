"""The table of networks: adding one takes a module with its layers, and a row here.

A network's name is stored in model folders and runs; everything else that the program has to know
of a network is asked of its row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from flax import nnx

from mtl.network import efficientnet_lite, inception_resnet_v2, resnet
from mtl.network.efficientnet_lite import EfficientNetLite0
from mtl.network.inception_resnet_v2 import InceptionResNetV2
from mtl.network.keras_weights import KerasWeights
from mtl.network.layers import WIDTHS
from mtl.network.resnet import ResNet
from mtl.network.torch_weights import TorchWeights
from mtl.runtime.files import InputError

# Makes the convolutional part: called with `width`, `momentum` and `rngs`, and with `dtype` and
# `remat` in a run that sets one. It is, or behaves like, a `mtl.network.layers.ConvolutionalBody`.
Body = Callable[..., nnx.Module]

DEFAULT = "inception_resnet_v2"  # the paper's; model folders older than the table do not name it


@dataclass(frozen=True)
class Network:
    """Hold what the program has to know of a network."""

    name: str
    """On command lines and in files."""
    title: str
    """In texts."""
    build: Body
    """Makes the body, of a share `width` of the channels."""
    blocks: tuple[tuple[str, int], ...]
    """Names of the MLSP blocks, by depth, and their channels at full width."""
    features: int
    """Length of the pooled features at full width."""
    smallest_side: int
    """Pixels that each side of a picture needs at least."""
    bytes_per_pixel: int
    """Memory that a forward pass holds at most per pixel of its batch, measured on CPUs."""
    scaling: str
    """Pixels that the weights on record expect, a key of `mtl.network.scalings.SCALINGS`."""
    keras: KerasWeights | None
    """Weights on record in Keras' layout; None where Keras has no such network."""
    reference: str
    torch: TorchWeights | None = None
    """ImageNet weights that a Python package brings as a file of PyTorch."""
    widths: tuple[float, ...] = WIDTHS
    """Shares of the channels that the body can be made with; the first is the whole network."""
    shares_canvas: bool = True
    """Whether pictures of several sizes can be described on one canvas. Not where a layer pads
    "SAME" and strides: its grid depends on a picture's size."""

    @property
    def length(self) -> int:
        """Numbers per picture of the pooled blocks at full width."""
        return sum(channels for _, channels in self.blocks)


NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        row.name: row
        for row in (
            Network(
                name=DEFAULT,
                title="InceptionResNetV2",
                build=InceptionResNetV2,
                blocks=inception_resnet_v2.BLOCKS,
                features=inception_resnet_v2.FEATURES,
                smallest_side=inception_resnet_v2.SMALLEST_SIDE,
                # The largest are the activations of the third and fourth convolution.
                bytes_per_pixel=400,
                scaling="minus_one_to_one",
                keras=inception_resnet_v2.KERAS,
                reference="Szegedy et al., AAAI 2017, arXiv:1602.07261",
            ),
            Network(
                name="resnet50",
                title="ResNet-50",
                build=partial(ResNet, resnet.RESNET50),
                blocks=resnet.resnet_blocks(resnet.RESNET50),
                features=resnet.FEATURES,
                smallest_side=resnet.SMALLEST_SIDE,
                # At the end of the first stage, where an input, a sum and its parts are held.
                bytes_per_pixel=350,
                scaling="caffe",
                keras=resnet.KERAS50,
                reference="He et al., CVPR 2016, arXiv:1512.03385",
            ),
            Network(
                name="efficientnet_lite0",
                title="EfficientNet-Lite0",
                build=EfficientNetLite0,
                blocks=efficientnet_lite.BLOCKS,
                features=efficientnet_lite.FEATURES,
                smallest_side=efficientnet_lite.SMALLEST_SIDE,
                # The second block's expanded activations, with and without the zeros around them.
                bytes_per_pixel=300,
                scaling="efficientnet_lite",
                keras=None,
                reference="Tan & Le, ICML 2019, arXiv:1905.11946",
                torch=efficientnet_lite.TORCH,
                widths=efficientnet_lite.WIDTHS,
            ),
        )
    }
)


def find_network(name: str) -> Network:
    """Return the row of a network.

    Raises:
        InputError: there is none of this name.
    """
    if name not in NETWORKS:
        raise InputError(
            f"network {name}: is not one of {', '.join(NETWORKS)}; choose with --network"
        )
    return NETWORKS[name]
