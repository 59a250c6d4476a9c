"""Weights of Caffe as a model folder: those that its authors published, or others of their layers.

Nothing downloads them; many machines that ran Caffe have BVLC's file.
"""

from pathlib import Path

from mtl.network.caffe_weights import CaffeWeights
from mtl.network.imports.caffe_files import read_caffemodel
from mtl.network.imports.caffe_layers import body_weights
from mtl.network.imports.imported import Imported, check_free, save_imported
from mtl.network.networks import NETWORKS, Network, find_network
from mtl.network.weights import imagenet_folder, network_named
from mtl.runtime.extras import PACKAGE
from mtl.runtime.files import InputError, file_digest

SUFFIX = ".caffemodel"


def import_caffe(path: Path, out: Path | None = None, network: str | None = None) -> Imported:
    """Turn a file of Caffe into a model folder without heads.

    Args:
        path: of the file.
        out: model folder to write; for the published ImageNet weights, if not given, the one in the
            user's cache folder.
        network: of which network the file is; if not given, the first that is known in Caffe.

    Raises:
        InputError: the file is not whole, or not of the network; nothing is known of the network in
            Caffe; the folder holds something, or none is given for weights of somebody else.
    """
    row = _network(network)
    if out is not None:
        check_free(out)
    caffe = _described(row)
    layers = read_caffemodel(path)
    source = caffe.digests.get(file_digest(path, "sha1"))
    if out is None and source is None:
        raise InputError(f"{path}: is not the published file of {row.title}; choose an --out")
    out = out or imagenet_folder(row.name)
    check_free(out)
    weights, left_out = body_weights(path, layers, row)
    because = f"Caffe's examples feed {row.title} so"
    source = source or f"weights of {row.title} in Caffe's layout"
    imported = Imported(out, row.name, source, row.scaling, because, left_out)
    origin = {"file": path.name, "sha256": file_digest(path)}
    save_imported(imported, weights, origin, [PACKAGE, "numpy"])
    return imported


def _network(name: str | None) -> Network:
    if name is not None:
        return find_network(network_named(name))
    return next(row for row in NETWORKS.values() if row.caffe is not None)


def _described(network: Network) -> CaffeWeights:
    if network.caffe is None:
        known = ", ".join(name for name, row in NETWORKS.items() if row.caffe is not None)
        raise InputError(f"{network.name}: nothing is known of its layers in Caffe; give {known}")
    return network.caffe
