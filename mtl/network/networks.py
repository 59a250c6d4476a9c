"""The table of networks: adding one takes a module with its layers, and a row here.

A network's name is stored in model folders and runs; everything else that the program has to know
of a network is asked of its row. docs/add_a_network.md shows a whole one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from flax import nnx

from mtl.network import (
    alexnet,
    cnniqa,
    efficientnet_lite,
    inception_resnet_v2,
    inception_v3,
    nasnet_mobile,
    resnet,
    vgg16,
)
from mtl.network.alexnet import AlexNet
from mtl.network.caffe_weights import CaffeWeights
from mtl.network.cnniqa import CNNIQA
from mtl.network.efficientnet_lite import EfficientNetLite0
from mtl.network.inception_resnet_v2 import InceptionResNetV2
from mtl.network.inception_v3 import InceptionV3
from mtl.network.keras_weights import KerasWeights
from mtl.network.layers import WIDTHS
from mtl.network.nasnet_mobile import NASNetMobile
from mtl.network.resnet import ResNet
from mtl.network.torch_weights import TorchWeights
from mtl.network.vgg16 import VGG16
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
    """The paper, and where to find it."""
    torch: TorchWeights | None = None
    """ImageNet weights that a Python package brings as a file of PyTorch."""
    caffe: CaffeWeights | None = None
    """Weights in Caffe's layout."""
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
                name="vgg16",
                title="VGG16",
                build=VGG16,
                blocks=vgg16.BLOCKS,
                features=vgg16.FEATURES,
                smallest_side=vgg16.SMALLEST_SIDE,
                # Where the second convolution's input, padded, and output are held.
                bytes_per_pixel=1000,
                scaling="caffe",
                keras=vgg16.KERAS,
                reference="Simonyan, Zisserman, ICLR 2015, arXiv:1409.1556",
            ),
            Network(
                name="resnet101",
                title="ResNet-101",
                build=partial(ResNet, resnet.RESNET101),
                blocks=resnet.resnet_blocks(resnet.RESNET101),
                features=resnet.FEATURES,
                smallest_side=resnet.SMALLEST_SIDE,
                # Held where ResNet-50 holds it, beside twice as many weights.
                bytes_per_pixel=500,
                scaling="caffe",
                keras=resnet.KERAS101,
                reference="He et al., CVPR 2016, arXiv:1512.03385",
            ),
            Network(
                name="inception_v3",
                title="InceptionV3",
                build=InceptionV3,
                blocks=inception_v3.BLOCKS,
                features=inception_v3.FEATURES,
                smallest_side=inception_v3.SMALLEST_SIDE,
                # The largest are the activations of the stem's third convolution.
                bytes_per_pixel=400,
                scaling="minus_one_to_one",
                keras=inception_v3.KERAS,
                reference="Szegedy et al., CVPR 2016, arXiv:1512.00567",
            ),
            Network(
                name="nasnet_mobile",
                title="NASNetMobile",
                build=NASNetMobile,
                blocks=nasnet_mobile.BLOCKS,
                features=nasnet_mobile.FEATURES,
                smallest_side=nasnet_mobile.SMALLEST_SIDE,
                # The stem's output and the sums of the first cell, and every cell's output.
                bytes_per_pixel=300,
                scaling="minus_one_to_one",
                keras=nasnet_mobile.KERAS,
                reference="Zoph et al., CVPR 2018, arXiv:1707.07012",
                widths=nasnet_mobile.WIDTHS,
                shares_canvas=False,
            ),
            Network(
                name="alexnet",
                title="AlexNet (CaffeNet)",
                build=AlexNet,
                blocks=alexnet.BLOCKS,
                features=alexnet.FEATURES,
                smallest_side=alexnet.SMALLEST_SIDE,
                # In the first convolution; the weights' 227 MB come on top.
                bytes_per_pixel=200,
                scaling="caffenet",
                keras=None,
                reference="Krizhevsky et al., NIPS 2012; Jia et al. (Caffe), arXiv:1408.5093",
                caffe=alexnet.CAFFE,
            ),
            Network(
                name="cnniqa",
                title="CNNIQA",
                build=CNNIQA,
                blocks=cnniqa.BLOCKS,
                features=cnniqa.FEATURES,
                smallest_side=cnniqa.SMALLEST_SIDE,
                # The scaled picture, and what its normalisation holds.
                bytes_per_pixel=100,
                scaling="zero_to_255",
                keras=None,
                reference="Kang et al., CVPR 2014, doi:10.1109/CVPR.2014.224",
                widths=cnniqa.WIDTHS,
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
