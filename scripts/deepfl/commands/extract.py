"""Features of pictures, 16,928 numbers each by the paper's network, at the pictures' own sizes.

Takes a folder, a CSV file with an `image` column, a data set of `deepfl generate`, or one picture.
Writes features.npy (float16) and index.csv; pictures that cannot be used are in skipped.csv. A
stopped run continues with the same command, and a finished one describes those pictures again whose
content has changed.

Example:
    deepfl extract deepfl-demo/photographs --model deepfl-demo/run --out features

With --crops N, N random crops of each picture are described in its place, without resizing, and
pooled (DeepBIQ):
    deepfl extract deepfl-demo/photographs --model deepfl-demo/run --out crops --crops 5 --pool avg
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse
from mlsp.features.crops import CROP_SIZE, CropPool, Crops
from mlsp.features.extraction import extract_to
from mlsp.features.pooling import Kind
from mlsp.features.sources import open_source
from mtl.network.weights import INCLUDED, load_model
from mtl.runtime.progress import say


@dataclass(frozen=True)
class ExtractConfig:
    """What to describe, and with which network."""

    pictures: Path
    """Folder, CSV file, data set or picture."""
    out: Path
    """Folder for the features; one of the same pictures and settings is continued."""
    model: Path = Path(INCLUDED)
    """Model folder, or the training run that holds it; deepfl-small comes with the program."""
    features: Kind = "mlsp"
    """mlsp: the network's blocks averaged over the picture (16,928 numbers of the paper's
    InceptionResNetV2, 15,104 of ResNet-50); gap: the last layer's average (1,536; 2,048); spp: its
    averages over 1×1, 2×2 and 3×3 cells; mlsp-wide: the blocks over 5×5 cells."""
    crops: int = 0
    """Random crops to describe each picture by; 0 describes the whole picture."""
    crop_size: int = CROP_SIZE
    """Height and width of a crop; smaller pictures are cropped to what is there."""
    pool: CropPool = "avg"
    """Of a picture's crops: min, avg, max, concat (side by side), or none (a row for each crop)."""
    seed: int = 0
    """Decides, with a picture's name, where its crops are."""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        ExtractConfig,
        arguments,
        program="deepfl extract",
        description=__doc__ or "",
        positional=("pictures",),
    )
    crops = None
    if config.crops:
        crops = Crops(config.crops, config.crop_size, config.pool, config.seed)
    found = extract_to(
        load_model(config.model),
        open_source(config.pictures, say),
        config.out,
        kind=config.features,
        crops=crops,
        progress=True,
    )
    for name, reason in found.skipped.items():
        say(f"left out: {name}: {reason}")
    pictures = len(set(found.names))
    rows = f", {len(found.names)} crops" if len(found.names) > pictures else ""
    say(f"{config.out}: features of {pictures} pictures{rows}; {len(found.skipped)} left out")
