"""Rated pictures as a fine-tuning run reads them: a table per split, and the predictions of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mlsp.databases import Database
from mlsp.evaluation.benchmark_results import Judged
from mtl.evaluation.splits import FEWEST_PICTURES, Split, check_split
from mtl.ratings.rated import PARTS
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.tables.csv_tables import read_table, table_text
from mtl.training.opinions.finetune import PREDICTIONS_FILE


@dataclass(frozen=True)
class Pictures:
    """Rated pictures that are files; every sequence has one entry per picture."""

    root: Path
    """Folder that the names are relative to."""
    names: Sequence[str]
    scores: Float[np.ndarray, " n"]
    """Higher is better."""
    references: Sequence[str]
    distributions: Float[np.ndarray, "n k"] | None = None
    """Shares of the ratings, the worst first, where the network learns them."""

    @classmethod
    def of(cls, judged: Judged) -> "Pictures":
        """Return the pictures of a benchmark that was made from a database."""
        assert judged.root is not None  # a benchmark's own pictures are files
        return cls(judged.root, judged.names, judged.scores, judged.references)

    def file(self, row: int) -> str:
        """Return the path of a picture, absolute."""
        return str(self.root.resolve() / self.names[row])


def write_split(path: Path, pictures: Pictures, split: Split) -> None:
    """Write the ratings with the parts of a split, as `finetune` reads them.

    A file with this content already stays as it is.
    """
    part_of = {
        int(row): part
        for part, rows in zip(PARTS, (split.train, split.validation, split.test), strict=True)
        for row in rows
    }
    rows = []
    for row, part in sorted(part_of.items()):
        shares = () if pictures.distributions is None else pictures.distributions[row]
        rows.append(
            {
                "image": pictures.file(row),
                "score": repr(float(pictures.scores[row])),
                **{f"c{k}": repr(float(share)) for k, share in enumerate(shares, 1)},
                "reference": pictures.references[row],
                "set": part,
            }
        )
    text = table_text(rows)
    if not path.is_file() or path.read_bytes() != text.encode(errors="surrogateescape"):
        write_atomically(path, text)


def read_predictions(run: Path, pictures: Pictures, split: Split) -> Float[np.ndarray, " t"]:
    """Return a finished run's predictions in the order of the split's test rows."""
    found = {
        row["image"]: float(row["predicted"])
        for row in read_table(run / PREDICTIONS_FILE, ("image", "predicted"))
    }
    return np.array([found[pictures.file(row)] for row in split.test])


def check_splits(ratings: Path, database: Database, splits: Sequence[Split], remedy: str) -> None:
    """Refuse splits that cannot be fine-tuned on; the best epoch is chosen by a correlation.

    Args:
        ratings: as the user gave them, for the message.
        database: that is split.
        splits: row numbers.
        remedy: ends the message.

    Raises:
        InputError: a part has too few pictures or one score only.
    """
    references, scores = database.references, database.scores
    for number, split in enumerate(splits):
        try:
            check_split(split, references, scores, fewest_validation=FEWEST_PICTURES)
        except ValueError as error:
            text = f"{ratings}: split {number} cannot fine-tune: {error}; {remedy}"
            raise InputError(text) from error
