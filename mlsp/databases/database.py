"""What is known of a rated picture database, whatever files its authors chose."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mlsp.features.sources import Files

# Fields that are not one entry per picture.
TEXTS = ("name", "root", "transformation", "lowest", "highest", "no_deviations")


@dataclass(frozen=True)
class Database:
    """Rated pictures of one database; every sequence has one entry per picture, in one order."""

    name: str
    """Key in `DATABASES`, or the stem of the user's CSV file."""
    root: Path
    """Folder that all names are relative to."""
    names: tuple[str, ...]
    """Picture files, relative, with forward slashes, spelled as they are on the disk."""
    scores: Float[np.ndarray, " n"]
    """Higher is better, float64, in the unit of `original`; see `transformation`."""
    original: Float[np.ndarray, " n"]
    """The scores as distributed, float64."""
    transformation: str
    """How `scores` came from `original`: "as published", or such as "100 - DMOS"."""
    lowest: float
    """The lower end of the scale of `scores`; of the user's own the lowest score."""
    highest: float
    """The upper end. Realigned scores of LIVE may lie outside."""
    deviations: Float[np.ndarray, " n"] | None
    """Standard deviations of single ratings, in the unit of `scores`, float64, at least 0."""
    no_deviations: str
    """Why there are no `deviations`, as a sentence for the user; empty where there are."""
    distributions: Float[np.ndarray, "n k"] | None
    """Shares of the ratings 1 (bad) ... K (best), each row with sum 1; None without counts."""
    references: tuple[str, ...]
    """Which pictures show the same scene; a picture of its own where there is no reference."""
    reference_files: tuple[str | None, ...]
    """Pristine picture of each, relative to `root`; None where there is none."""
    distortions: tuple[str | None, ...]
    """The authors' names of the distortion types."""
    levels: tuple[int | None, ...]
    """The authors' numbers of the amounts, from 1; None where the amounts are continuous."""
    sets: tuple[str, ...] | None
    """The table's own split: training, validation or test; None where it has none."""

    def __post_init__(self):
        """Refuse parts of different lengths: a ValueError, since no user can cause it."""
        parts = {
            field: getattr(self, field) for field in self.__dataclass_fields__ if field not in TEXTS
        }
        lengths = {field: len(part) for field, part in parts.items() if part is not None}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"the parts of a database differ in length: {lengths}")

    def __len__(self) -> int:
        return len(self.names)

    def source(self) -> Files:
        """The pictures for extraction, with the columns score, reference, distortion and level."""
        columns = [
            {
                "score": repr(float(score)),
                "reference": reference,
                "distortion": distortion or "",
                "level": "" if level is None else str(level),
            }
            for score, reference, distortion, level in zip(
                self.scores, self.references, self.distortions, self.levels, strict=True
            )
        ]
        return Files(self.root, self.names, columns)
