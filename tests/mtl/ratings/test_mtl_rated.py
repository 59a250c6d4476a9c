"""Tables of ratings: what is read, how it is split, what is refused; KonIQ-10k's published one."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.evaluation.correlation import plcc, srocc
from mtl.ratings.distributions import expected_score
from mtl.ratings.rated import (
    PARTS,
    RatedImages,
    Ratings,
    common_size,
    read_ratings,
    resized,
    split_ratings,
    splits_text,
)
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table

KONIQ = Path(
    os.environ.get("DEEPFL_KONIQ_TABLE")
    or Path(__file__).resolve().parents[4] / "shared" / "data" / "koniq10k_distributions_sets.csv"
)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "ratings.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_scores_counts_and_references_are_read(tmp_path):
    plain = read_ratings(written(tmp_path, "image,score", "a.png,1.5", "b.png, 72 "))
    assert plain.names == plain.references == ("a.png", "b.png")
    assert plain.scores.tolist() == [1.5, 72] and plain.distributions is None is plain.sets
    header = "c1,c2,c3,c4,c5,image_name,reference,set"
    rows = ("0,0,1,2,1,a.png,x,training", "4,0,0,0,0,b.png,x,training", "0,0,.5,.5,0,c.png,,test")
    counted = read_ratings(written(tmp_path, header, *rows))
    assert counted.scores.tolist() == [4, 1, 3.5]
    assert counted.distributions[0].tolist() == [0, 0, 0.25, 0.5, 0.25]
    assert counted.references == ("x", "x", "c.png")
    assert counted.sets == ("training", "training", "test")
    both = read_ratings(written(tmp_path, "image,c1,c2,c3,c4,c5,MOS", "a.png,0,0,0,0,9,77.5"))
    assert both.scores.tolist() == [77.5] and expected_score(both.distributions)[0] == 5


def test_levels_may_be_written_by_pandas(tmp_path):
    known = read_ratings(written(tmp_path, "image,score,level", "a,1,1.0", "b,2,", "c,3,2"))
    assert known.levels == (1, None, 2)
    for wrong in ("9" * 5000, "1.5", "1e0", "nan"):
        with pytest.raises(InputError, match=r"line 2: level .* is no whole number"):
            read_ratings(written(tmp_path, "image,score,level", f"a,1,{wrong}"))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["image,c1,c2,c3", "a,1,1,1", "b,1e308,1e308,7"], "line 3: the counts are too large"),
        (["file,score", "a,1"], "'file,score' but must hold image"),
        (["image,quality", "a,1"], "must hold score, or c1 c2 c3 c4 c5"),
        (["image,c1,c2,c3,c5", "a,1,1,1,1"], "has c1 but lacks c4"),
        (["image,score", "a,good"], "line 2: score 'good' is not a number"),
        (["image,score", "a,1", "b,nan"], "line 3: score 'nan' is not a number"),
        (["image,score", "a,1", "b"], "line 3: has 1 field, not the header's 2"),
        (["image,c1,c2,c3,c4,c5", "a,1,1,1,1,x"], "line 2: c5 'x' is not a number"),
        (["image,c1,c2,c3,c4,c5", "a,1,1,1,1,-1"], "line 2: the counts are negative"),
        (["image,c1,c2,c3,c4,c5", "a,1,1,1,1,1", "b,0,0,0,0,0"], "line 3: .* are all zero"),
        (["image,score", "a,1", "a,2"], "line 3: a is named more than once"),
        (["image,score", "a,1", ",2"], "line 3: names no picture"),
        (
            ["image,score,set", "a,1,train"],
            "line 2: set is 'train', not training, validation, test",
        ),
        (["image,score"], "has a header but no rows"),
    ],
)
def test_what_is_no_rating_is_said(tmp_path, lines, problem):
    with pytest.raises(InputError, match=problem):
        read_ratings(written(tmp_path, *lines))


def ratings(references, scores=None, sets=None) -> Ratings:
    names = tuple(f"{k}.png" for k in range(len(references)))
    scores = np.arange(len(names), dtype=float) if scores is None else np.asarray(scores, float)
    return Ratings(Path("r.csv"), names, scores, None, tuple(references), sets)


@given(st.lists(st.integers(0, 30), min_size=60, max_size=120), st.integers(0, 9))
def test_a_random_split_keeps_references_together(groups, seed):
    # Thirty-one references at least three times each, and whatever comes besides.
    known = ratings([str(g) for g in [*groups, *range(31), *range(31), *range(31)]])
    parts = split_ratings(known, seed)
    assert tuple(parts) == PARTS
    every = np.concatenate(list(parts.values()))
    assert sorted(every) == list(range(len(known.names)))
    held = [{known.references[k] for k in rows} for rows in parts.values()]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    assert [len(h) for h in held] == [19, 6, 6]
    again = split_ratings(known, seed)
    assert all(np.array_equal(parts[p], again[p]) for p in PARTS)


def test_another_seed_is_another_split():
    known = ratings([str(k) for k in range(50)])
    assert not np.array_equal(split_ratings(known, 0)["test"], split_ratings(known, 1)["test"])


def test_the_tables_own_split_is_used(tmp_path):
    sets = ("test", "training", "validation") * 4
    known = ratings([str(k) for k in range(12)], sets=sets)
    parts = split_ratings(known, 0)
    assert parts["training"].tolist() == [1, 4, 7, 10] and parts["test"].tolist() == [0, 3, 6, 9]
    (tmp_path / "splits.csv").write_text(splits_text(known, parts))
    rows = read_table(tmp_path / "splits.csv", ("image", "reference", "set"))
    assert [row["set"] for row in rows] == list(sets) and rows[5]["image"] == "5.png"


@pytest.mark.parametrize(
    ("known", "problem"),
    [
        (ratings(["a", "a", "b", "b"]), "2 reference"),
        (ratings([str(k) for k in range(7)]), "validation part has 1 pictures; at least 3"),
        (
            ratings(["a", *"bcdefghi"], sets=("training", "test", *["validation"] * 7)),
            "training part has 1 pictures",
        ),
        (
            ratings(["a", "a", *"bcdefgh"], sets=("training", "test", *["test"] * 7)),
            "pictures of a are in the training and the test set",
        ),
        (
            ratings("abcdefghi", [3, 4, 5, 2, 2, 2, 1, 2, 3], tuple(np.repeat(PARTS, 3))),
            "all pictures of the validation part have the score 2",
        ),
    ],
)  # fmt: skip
def test_a_split_that_cannot_work_is_said(known, problem):
    with pytest.raises(InputError, match=problem):
        split_ratings(known, 0)


def test_pictures_have_one_size_or_are_given_one(tmp_path, sample):
    for name, image in (("a", sample["coffee"][:90, :120]), ("b", sample["china"][:80, :100])):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image[..., ::-1])
    path = written(tmp_path, "image,score", "a.png,1", "b.png,2")
    with pytest.raises(InputError, match=r"a\.png has 120×90 pixels and b\.png 100×80; .*--size"):
        common_size(read_ratings(path), None, 75)
    assert common_size(read_ratings(path), (76, 96), 75) == (76, 96)
    with pytest.raises(InputError, match="75×75; choose a larger --size"):
        common_size(read_ratings(path), (76, 50), 75)
    alone = read_ratings(written(tmp_path, "image,score", "a.png,1"))
    assert common_size(alone, None, 75) == (90, 120)
    with pytest.raises(InputError, match=r"gone\.png: no such file .*ratings\.csv names it"):
        common_size(read_ratings(written(tmp_path, "image,score", "gone.png,1")), None, 75)
    several = written(tmp_path, "image,score", "gone.png,1", "a.png,2", "lost.png,3")
    with pytest.raises(InputError, match=r"gone\.png: no such.*; it also names lost\.png"):
        common_size(read_ratings(several), None, 75)
    with pytest.raises(InputError, match=r"ratings\.csv: is not a picture"):
        common_size(read_ratings(written(tmp_path, "image,score", "ratings.csv,1")), (80, 80), 75)

    images = RatedImages(tmp_path, ["b.png", "a.png"], np.array([[0.25], [1.0]]), (45, 60))
    assert len(images) == 2
    given = images[1]
    assert given["target"].tolist() == [1.0] and given["target"].dtype == np.float32
    # By half, each pixel is the mean of four.
    blocks = sample["coffee"][:90, :120].reshape(45, 2, 60, 2, 3).mean(axis=(1, 3))
    assert np.abs(given["image"] - blocks).max() <= 0.5
    assert resized(given["image"], None) is resized(given["image"], (45, 60)) is given["image"]


@pytest.mark.skipif(not KONIQ.is_file(), reason=f"no table of KonIQ-10k's ratings at {KONIQ}")
def test_koniqs_published_table():
    known = read_ratings(KONIQ)
    parts = split_ratings(known, 0)
    # The paper's section 6.1.
    assert [len(parts[p]) for p in PARTS] == [7058, 1000, 2015]
    rows = read_table(KONIQ, ("c_total", "SD", "MOS"))
    mean = expected_score(known.distributions)
    assert mean.min() >= 1 and mean.max() <= 5
    # The published deviations are those of the counts, to every digit ...
    total = np.array([float(row["c_total"]) for row in rows])
    squares = (known.distributions * (np.arange(1, 6) - mean[:, None]) ** 2).sum(axis=1)
    published = np.array([float(row["SD"]) for row in rows])
    np.testing.assert_allclose(np.sqrt(squares * total / (total - 1)), published, atol=1e-11)
    # ... but its MOS, 4..88, is corrected for the raters: a line through the mean ratings misses it
    # by 1.2 on average and by up to 5.5, and the two rank the pictures nearly alike.
    assert known.scores.tolist() == [float(row["MOS"]) for row in rows]
    assert plcc(mean, known.scores) == pytest.approx(0.9954, abs=5e-5)
    assert srocc(mean, known.scores) == pytest.approx(0.9919, abs=5e-5)
