"""Rated pictures with a split of their own, cut out of a photograph."""

from pathlib import Path

import cv2
import numpy as np


def write_rated(
    folder: Path, photo: np.ndarray, size: tuple[int, int], *, training: int = 6
) -> Path:
    """Write `training` pictures to learn from, three to choose by and three to test on.

    Args:
        folder: of the pictures and of ratings.csv.
        photo: RGB.
        size: height and width of the pictures.
        training: how many there are to learn from.

    Returns:
        The table.
    """
    parts = ["training"] * training + ["validation"] * 3 + ["test"] * 3
    rows = ["image,score,set"]
    for k, part in enumerate(parts):
        picture = photo[10 * k : 10 * k + size[0], 20 * k : 20 * k + size[1]]
        cv2.imwrite(str(folder / f"{k}.png"), picture[..., ::-1])
        rows.append(f"{k}.png,{k * 5 % len(parts)},{part}")
    path = folder / "ratings.csv"
    path.write_text("\n".join(rows) + "\n")
    return path
