"""A model folder from weights that Keras wrote: ImageNet's, or the DeepFL-IQA authors' body.

`imagenet` is fetched and checked by Keras; without a network fetch its file elsewhere and give
that. The pixel scaling goes into the folder and follows from the file; --scaling is asked for only
when the file does not tell. Classification layers and heads are left out. --network says of which
network the weights are.

Needs: pip install 'deepfl-iqa[import]'

Examples:
    deepfl import-keras imagenet
    deepfl import-keras imagenet --network resnet50
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
    init = IMAGENET if model.out == imagenet_folder(config.network) else model.out
    other = "" if config.network == DEFAULT else f" --network {config.network}"
    tell_imported(model, f"{init}{other}")
