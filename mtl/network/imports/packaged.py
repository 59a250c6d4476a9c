"""ImageNet weights that a Python package brings as a file of PyTorch, as a model folder.

The package is found and its file read; none of its code runs. Any other file with the same
parameters, such as the same network trained further in PyTorch, makes a model folder as well.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mtl.network.imports.imported import Imported, check_free, save_imported
from mtl.network.imports.torch_files import read_torch_file
from mtl.network.imports.torch_layers import body_weights
from mtl.network.networks import NETWORKS, Network, find_network
from mtl.network.torch_weights import TorchWeights
from mtl.network.weights import command_name, imagenet_folder, imagenet_remedy, network_named
from mtl.runtime.extras import PACKAGE
from mtl.runtime.files import InputError, file_digest


@dataclass(frozen=True)
class PackagedConfig:
    """Which weights to import."""

    weights: str
    """A network whose ImageNet weights a package brings, such as efficientnet-lite0, a file of
    PyTorch of such a network, or a .caffemodel file."""
    out: Path | None = None
    """Model folder to write; for ImageNet weights, if not given, the one in the user's cache
    folder that `--init efficientnet-lite0-imagenet` looks for."""
    network: str | None = None
    """Of which network a file is; when not given, efficientnet_lite0, and alexnet (in CaffeNet's
    layout) for a .caffemodel file."""


def import_packaged(config: PackagedConfig) -> Imported:
    """Turn weights of PyTorch into a model folder without heads.

    Raises:
        InputError: the package is not installed; the file is not whole, or not of the network; no
            package brings the network's weights; the folder holds something.
    """
    network, path = _chosen(config)
    torch = _described(network)
    if config.out is not None:
        check_free(config.out)
    path = path or packaged_file(network)
    found = body_weights(path, read_torch_file(path), network)
    digest = file_digest(path)
    if config.out is None and digest != torch.sha256:
        raise InputError(
            f"{path}: is not the file of {network.title}'s ImageNet weights; choose an --out"
        )
    out = config.out or imagenet_folder(network.name)
    check_free(out)
    return _save(network, path, digest, out, found)


def packaged_folder(network: Network) -> Path:
    """Return the folder in the user's cache with a network's ImageNet weights; make it if needed.

    Several processes may do so at once: each file of the folder is whole or not there.

    Raises:
        InputError: the package is not installed, or is another version.
    """
    out = imagenet_folder(network.name)
    path, sha256 = packaged_file(network), _described(network).sha256
    if file_digest(path) != sha256:
        raise InputError(
            f"{path}: is not the file of {network.title}'s ImageNet weights; install it again:"
            f" {_remedy(network)}"
        )
    found = body_weights(path, read_torch_file(path), network)
    return _save(network, path, sha256, out, found).out


def packaged_file(network: Network) -> Path:
    """Return the file that the network's package brings; nothing is imported.

    Raises:
        InputError: the package is not installed.
    """
    torch = _described(network)
    found = find_spec(torch.module)
    folders = [] if found is None else found.submodule_search_locations or []
    for path in (Path(folder) / torch.file for folder in folders):
        if path.is_file():
            return path
    raise InputError(
        f"{command_name(network.name)}: its ImageNet weights come with {torch.package}, which is"
        f" missing: {_remedy(network)}"
    )


def _chosen(config: PackagedConfig) -> tuple[Network, Path | None]:
    """Return the network, and the file; None for that of the network's package."""
    asked = None if config.network is None else find_network(network_named(config.network))
    path, named = Path(config.weights), NETWORKS.get(network_named(config.weights))
    with_package = [row for row in NETWORKS.values() if row.torch is not None]
    known = ", ".join(command_name(row.name) for row in with_package)
    if path.exists():
        return asked or with_package[0], path
    if named is None:
        raise InputError(
            f"{config.weights}: is neither a file nor a network whose ImageNet weights a package"
            f" brings; give a .pth file, or one of {known}"
        )
    if asked not in (None, named):
        raise InputError(f"{config.weights}: is a network; leave --network {asked.name} out")
    if named.torch is None:
        raise InputError(
            f"{config.weights}: no package brings its ImageNet weights (only those of {known});"
            f" {imagenet_remedy(named)}"
        )
    return named, None


def _described(network: Network) -> TorchWeights:
    if network.torch is None:
        known = ", ".join(name for name, row in NETWORKS.items() if row.torch is not None)
        raise InputError(f"{network.name}: nothing is known of its layers in PyTorch; give {known}")
    return network.torch


def _remedy(network: Network) -> str:
    return f"pip install '{PACKAGE}[{_described(network).extra}]'"


def _save(
    network: Network,
    path: Path,
    sha256: str,
    out: Path,
    found: tuple[dict[str, np.ndarray], list[str]],
) -> Imported:
    weights, left_out = found
    torch = _described(network)
    published = sha256 == torch.sha256
    kind = "ImageNet weights" if published else "weights in PyTorch's layout"
    because = f"its authors feed {network.title} so"
    source = f"{network.title}'s {kind}"
    imported = Imported(out, network.name, source, network.scaling, because, left_out)
    origin: dict[str, object] = {"file": path.name, "sha256": sha256}
    if published:
        origin["package"] = torch.package
    save_imported(imported, weights, origin, [PACKAGE, "numpy"])
    return imported
