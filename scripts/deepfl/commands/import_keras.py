"""A model folder from weights that Keras wrote: ImageNet's, or the DeepFL-IQA authors' body.

A network's name (vgg16, resnet50, inception-v3; hyphens or underscores) means its ImageNet weights,
which Keras fetches and checks; `imagenet` means those of --network. Without an internet connection,
fetch the file elsewhere and give that, with --network: a wrong try names address and command. A
bare name is the network even beside a file of that name; ./vgg16 is the file. The pixel scaling
goes into the folder and follows from the file; --scaling is asked for only when the file does not
tell. Classification layers and heads are left out.

Needs: pip install 'deepfl-iqa[import]'

Examples:
    deepfl import-keras imagenet
    deepfl import-keras resnet50
    deepfl import-keras quality-mlsp-mtl-mse-loss.hdf5 --out authors
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from deepfl.imported import tell_imported
from mtl.network.imports.pretrained import ImportConfig, import_keras
from mtl.network.networks import DEFAULT
from mtl.network.weights import IMAGENET, imagenet_folder


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        ImportConfig,
        arguments,
        program="deepfl import-keras",
        description=__doc__ or "",
        positional=("weights",),
    )
    model = import_keras(config)
    init = IMAGENET if model.out == imagenet_folder(model.network) else model.out
    other = "" if model.network == DEFAULT else f" --network {model.network}"
    tell_imported(model, f"{init}{other}")
