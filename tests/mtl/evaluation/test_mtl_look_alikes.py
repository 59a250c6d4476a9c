"""Near-duplicates that a split puts into different parts."""

from pathlib import Path

import cv2
import numpy as np

from mtl.evaluation.look_alikes import look_alikes, perceptual_hashes, remark_on_look_alikes
from mtl.evaluation.splits import Split

NAMES = ("a.png", "a2.png", "b.png", "b.jpg", "c.png", "broken.png")


def split(train, validation, test) -> Split:
    return Split(*(np.array(rows, int) for rows in (train, validation, test)))


def written(folder: Path, sample) -> list[Path]:
    a, b, c = (sample[name][:160, :200, ::-1] for name in ("chelsea", "coffee", "astronaut"))
    cv2.imwrite(str(folder / "a.png"), a)
    cv2.imwrite(str(folder / "a2.png"), cv2.GaussianBlur(a, (0, 0), 2))
    cv2.imwrite(str(folder / "b.png"), b)
    cv2.imwrite(str(folder / "b.jpg"), b, (cv2.IMWRITE_JPEG_QUALITY, 30))
    cv2.imwrite(str(folder / "c.png"), c)
    (folder / "broken.png").write_bytes(b"no picture")
    return [folder / name for name in NAMES]


def test_only_pairs_in_different_parts_are_found(tmp_path, sample):
    hashes = perceptual_hashes(written(tmp_path, sample))
    assert all(isinstance(each, int) for each in hashes[:-1])
    assert "broken.png: is not a picture" in str(hashes[-1])
    parted = split([0, 2], [3], [1, 4, 5])
    assert look_alikes(hashes, [parted]).tolist() == [[0, 1], [2, 3]]
    together = split([0, 1], [2, 3], [4, 5])
    assert len(look_alikes(hashes, [together])) == 0
    assert look_alikes(hashes, [together, parted]).tolist() == [[0, 1], [2, 3]]
    assert len(look_alikes(hashes, [split([0, 2], [], [4, 5])])) == 0  # 1 and 3 are in no part


def test_one_line_suggests_the_column(tmp_path, sample):
    pairs = look_alikes(perceptual_hashes(written(tmp_path, sample)), [split([0], [], [1])])
    line = remark_on_look_alikes(Path("r.csv"), NAMES, pairs)
    assert line is not None and line.startswith("r.csv: 2 pictures look like others")
    assert "a.png and a2.png" in line and "add a column reference" in line and "\n" not in line
    assert remark_on_look_alikes(Path("r.csv"), NAMES, pairs[:0]) is None
