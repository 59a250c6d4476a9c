"""Columns under the names that people give them, the score's direction, and counts."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import pytest

from mlsp.databases import open_database
from mlsp.features.sources import open_source
from mlsp.prediction.predicting import predict_files
from mlsp.prediction.predictor import Prediction
from mtl.network.networks import DEFAULT, NETWORKS
from mtl.ratings.rated import common_size, read_ratings
from mtl.runtime.files import InputError
from mtl.runtime.tables.columns import TableColumns


def written(folder: Path, *lines: str) -> Path:
    path = folder / "ratings.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "image", ["image", "Image Name", "image_name", "name", "dis_img_path", "FileName", "dist-img"]
)
@pytest.mark.parametrize("score", ["score", "MOS", "mos", "mos_quality", "Quality MOS", "rating"])
def test_the_headers_people_have_are_taken(tmp_path, image, score):
    path = written(tmp_path, f"id,{image},{score}", "7,a.png,3.5", "8,b.png,1")
    known = read_ratings(path)
    assert known.names == ("a.png", "b.png") and known.scores.tolist() == [3.5, 1]
    assert open_database(path, check_files=False).names == known.names
    source = open_source(path)
    assert list(source.names) == ["a.png", "b.png"]
    assert source.columns[0] == {"id": "7", score: "3.5"}


def test_other_columns_are_found_whatever_their_case(tmp_path):
    header = "Image,Score,Reference,SET,Std,Reference File"
    known = read_ratings(written(tmp_path, header, "a,1,x,test,0.5,r.png", "b,2,,training,0,r.png"))
    assert known.references == ("x", "r.png") and known.sets == ("test", "training")
    assert known.deviations.tolist() == [0.5, 0] and known.no_deviations == ""
    assert known.reference_files == ("r.png", "r.png")


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (
            "image,MOS,score",
            r"score and MOS may both be the score; it has image,MOS,",
        ),
        ("name,filename,mos", r"name and filename may both be the image"),
        ("picture,mos", r"'picture,mos' but must hold image, .*--columns image="),
        ("image,opinion", r"'image,opinion' but must hold score, or c1 .*--columns score="),
        ("image,DMOS", r"DMOS is higher for better .*say --higher-is better or --higher-is worse"),
        ("image,dmos", r"dmos is higher for better"),
        ("image,mos quality,mos_quality", r"mos quality and mos_quality have the same name"),
    ],
)
def test_headers_that_are_unknown_or_ambiguous_list_the_columns_and_the_remedy(
    tmp_path, header, problem
):
    with pytest.raises(InputError, match=problem) as raised:
        read_ratings(written(tmp_path, header, ",".join("123"[: header.count(",") + 1])))
    assert "\n" not in str(raised.value)


def test_columns_can_be_named(tmp_path):
    path = written(tmp_path, "name,image,MOS,score,sigma", "n,a.png,3,70,2", "m,b.png,4,80,3")
    named = ("image=image", "score=score", "std=sigma")
    known = read_ratings(path, TableColumns(named))
    assert known.names == ("a.png", "b.png") and known.scores.tolist() == [70, 80]
    assert known.deviations.tolist() == [2, 3]
    for wrong, problem in (
        ("score", "give COLUMN=NAME"),
        ("picture=name", "COLUMN is one of image score"),
        ("score=other", "has no column other; it has name,image,MOS,score,sigma"),
    ):
        with pytest.raises(InputError, match=problem):
            read_ratings(path, TableColumns(("image=image", wrong)))
    with pytest.raises(InputError, match="names image twice"):
        read_ratings(path, TableColumns(("image=image", "image=name")))


def test_a_dmos_is_turned_round_where_higher_is_worse(tmp_path):
    path = written(tmp_path, "image,DMOS,std", "a,10,1", "b,70.5,2")
    worse = open_database(path, check_files=False, columns=TableColumns((), "worse"))
    assert worse.scores.tolist() == [-10, -70.5] and worse.original.tolist() == [10, 70.5]
    assert worse.transformation == "-DMOS" and (worse.lowest, worse.highest) == (-70.5, -10)
    assert worse.deviations.tolist() == [1, 2]
    better = open_database(path, check_files=False, columns=TableColumns((), "better"))
    assert better.scores.tolist() == [10, 70.5] and better.transformation == "as published"
    counted = written(tmp_path, "image,c1,c2,c3", "a,4,0,0", "b,0,1,1")
    assert read_ratings(counted, TableColumns((), "worse")).scores.tolist() == [3, 1.5]
    both = written(tmp_path, "image,DMOS,c1,c2", "a,4,0,1")
    with pytest.raises(InputError, match="has DMOS beside c1"):
        read_ratings(both, TableColumns((), "worse"))


@pytest.mark.parametrize("bins", [2, 3, 5, 7, 10])
def test_any_number_of_ratings_can_be_counted(tmp_path, bins):
    rng = np.random.default_rng(bins)
    counts = rng.integers(1, 50, (6, bins))
    # Columns of any order are those of their numbers: c10 is not behind c1.
    order = rng.permutation(bins)
    rows = [f"{k}.png,{','.join(str(row[b]) for b in order)}" for k, row in enumerate(counts)]
    header = "image," + ",".join(f"c{b + 1}" for b in order)
    known = read_ratings(written(tmp_path, header, *rows))
    assert known.distributions.shape == (6, bins)
    np.testing.assert_allclose(known.distributions, counts / counts.sum(axis=1, keepdims=True))
    means = (counts * np.arange(1, bins + 1)).sum(axis=1) / counts.sum(axis=1)
    np.testing.assert_allclose(known.scores, means)
    assert (known.lowest, known.highest) == (1, bins)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("image,c1,c2,c4", "has c1 but lacks c3"),
        ("image,c2,c3,c4", "has c2 but lacks c1"),
        ("image,c0,c1,c2", "has c0 but begins with c0"),
        ("image,c1,score,x", "has c1 but lacks c2"),
        ("image,c1,c2,c01", "c1 and c01 both count the rating"),
    ],
)
def test_counts_with_a_gap_are_refused(tmp_path, header, problem):
    with pytest.raises(InputError, match=problem):
        read_ratings(written(tmp_path, header, "a,1,1,1"))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Q1_1,Q11,f_1_1,f_11", "1,2,3,4"),  # the questions of a survey
        ("c12,c20", "canon,sony"),  # a camera
        ("c12", "7"),
        ("c2", "7"),
        ("c20230101,c999999999999", "1,2"),
        (f"c{'9' * 5000}", "1"),
        ("c1_2,C 1,c-3,C_3", "1,2,3,4"),
        ("c0", "1"),
    ],
)
def test_columns_that_are_none_of_ours_are_let_alone(tmp_path, header, row):
    known = read_ratings(written(tmp_path, f"image,score,{header}", f"a,1,{row}", f"b,2,{row}"))
    assert known.scores.tolist() == [1, 2] and known.distributions is None
    assert known.references == ("a", "b")


def test_a_count_far_beyond_the_others_is_a_gap(tmp_path):
    """Its number is no size of anything that is kept."""
    for far in ("c20230101", "c999999999", "C999999999"):
        with pytest.raises(InputError, match="has c1 but lacks c3"):
            read_ratings(written(tmp_path, f"image,c1,c2,{far}", "a,1,1,1"))
        with pytest.raises(InputError, match=f"has {far} but lacks c1"):
            read_ratings(written(tmp_path, f"image,{far}", "a,1"))
    known = read_ratings(written(tmp_path, "image,C01,C02,c003", "a,0,1,1"))
    assert known.scores.tolist() == [2.5]


def test_a_column_is_named_for_one_purpose(tmp_path):
    path = written(tmp_path, "image,x,c1,c2", "a,1,2,3")
    with pytest.raises(InputError, match="x is named for score and for std; name a column for one"):
        read_ratings(path, TableColumns(("score=x", "std=x")))
    known = read_ratings(path, TableColumns(("score=x",)))
    assert known.scores.tolist() == [1] and known.distributions is not None


def test_a_score_that_runs_against_the_counts_is_refused(tmp_path):
    header, match = "image,c1,c2,c3,c4,c5,score", "score falls where the ratings that c1 .* rise"
    path = written(tmp_path, header, "a,9,0,0,0,0,5", "b,0,0,0,0,9,1")
    with pytest.raises(InputError, match=match):
        read_ratings(path)
    # On a scale of its own.
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 30, (12, 5)) + 1
    means = counts @ np.arange(1, 6) / counts.sum(axis=1)
    for sign in (1, -1):
        rows = [
            f"{k},{','.join(map(str, row))},{50 + sign * 20 * (mean - 3):.3f}"
            for k, (row, mean) in enumerate(zip(counts, means, strict=True))
        ]
        path = written(tmp_path, header, *rows)
        if sign > 0:
            assert read_ratings(path).scores.max() > 50
        else:
            with pytest.raises(InputError, match=match):
                read_ratings(path)


@pytest.mark.parametrize("reference", ["reference", "ref_img", "Ref Img Path", "ref_name"])
def test_the_usual_columns_of_references_are_taken(tmp_path, reference):
    path = written(tmp_path, f"dist_name,{reference},mos", "a_1,a,1", "a_2,a,2", "b_1,b,2")
    assert read_ratings(path).references == ("a", "a", "b")


def test_the_scale_follows_from_the_table_alone(tmp_path):
    """KonIQ-10k's columns under any file name: the same range and deviations."""
    counts = ["9,1,0,0,0", "0,5,5,0,0", "0,0,0,2,8"]
    means, published = (1.1, 2.5, 4.8), (4.2, 33.0, 88.0)
    for name in ("mine.csv", "koniq10k_scores.csv"):
        for scores, scale in ((means, (1, 5)), (published, (0, 100))):
            lines = ["image_name,c1,c2,c3,c4,c5,c_total,MOS,SD"]
            lines += [f"{k}.jpg,{counts[k]},10,{scores[k]},0.5" for k in range(3)]
            (tmp_path / name).write_text("\n".join(lines))
            known = open_database(tmp_path / name, check_files=False)
            assert (known.lowest, known.highest) == scale
            assert (known.deviations is None) == (scale == (0, 100)) == bool(known.no_deviations)
    # Scores that happen to lie within 1..5 are told by the counts to be others.
    lines = ["image_name,c1,c2,c3,c4,c5,MOS,SD", "a,0,0,0,0,9,2,0.5", "b,9,0,0,0,0,4,0.5"]
    known = read_ratings(written(tmp_path, *lines))
    assert (known.lowest, known.highest) == (0, 100) and known.deviations is None


@pytest.mark.parametrize("score", ["MOS", "mos", "Mos", "score", "quality_mos", "Quality MOS"])
@pytest.mark.parametrize("deviation", ["SD", "sd", "Sd", "S D", "std", "STD"])
def test_the_scale_does_not_depend_on_the_spelling_of_headers(tmp_path, score, deviation):
    def known(*rows: str, higher_is=None):
        columns = TableColumns((), higher_is)
        path = written(tmp_path, f"image,{score},{deviation}", *rows)
        return open_database(path, check_files=False, columns=columns)

    five = known("a,3.5,0.5", "b,2.5,0.7")
    assert (five.lowest, five.highest) == (1, 5) and five.deviations.tolist() == [0.5, 0.7]
    # Without counts nothing says that the deviations are in another unit than the scores.
    hundred = known("a,45,15", "b,15,12")
    assert (hundred.lowest, hundred.highest) == (15, 45)
    assert hundred.deviations.tolist() == [15, 12] and not hundred.no_deviations
    # No ratings of 1..5 with the mean 4.5 have the deviation 2.5; those of 0..10 have.
    ten = known("a,4.5,2.5", "b,1.5,0.5")
    assert (ten.lowest, ten.highest) == (1.5, 4.5) and ten.deviations.tolist() == [2.5, 0.5]
    # A sign keeps the unit.
    worse = known("a,3.5,0.5", "b,2.5,0.7", higher_is="worse")
    assert (worse.lowest, worse.highest) == (-5, -1) and worse.scores.tolist() == [-3.5, -2.5]
    assert worse.deviations.tolist() == [0.5, 0.7]
    # Rounded figures at the ends: two of forty rated 4, the others 5.
    ends = known("a,5.0,0.2", "b,1.0,0")
    assert (ends.lowest, ends.highest) == (1, 5)


@pytest.mark.parametrize(("score", "sd"), [("MOS", "SD"), ("mos", "sd"), ("score", "Sd")])
def test_counts_alone_show_that_deviations_have_another_unit(tmp_path, score, sd):
    header = f"image_name,c1,c2,c3,c4,c5,{score},{sd}"
    counts = ["9,1,0,0,0", "0,5,5,0,0", "0,0,0,2,8"]
    for scores, scale in (((1.1, 2.5, 4.8), (1, 5)), ((4.2, 33.0, 88.0), (0, 100))):
        lines = [f"{k},{counts[k]},{scores[k]},0.5" for k in range(3)]
        known = read_ratings(written(tmp_path, header, *lines))
        assert known.scale == scale
        assert (known.deviations is None) == (scale == (0, 100)) == bool(known.no_deviations)
    assert (
        known.no_deviations == "SD is that of the ratings, which are on another scale than the"
        " scores"
    )


@pytest.mark.parametrize("column", ["std", "SD", "sd"])
def test_a_negative_deviation_is_refused_at_reading(tmp_path, column):
    path = written(tmp_path, f"image,MOS,{column}", "a,1,0", "b,2,-0.1")
    with pytest.raises(
        InputError, match=f"line 3: {column} is -0.1; deviations must be at least 0"
    ):
        read_ratings(path)


def test_a_table_of_pictures_alone_says_which_column_to_rename(tmp_path):
    assert open_source(written(tmp_path, "name,image", "n,a.png")).names == ["a.png"]
    with pytest.raises(InputError, match="name and img may both name the pictures; it has"):
        open_source(written(tmp_path, "name,img", "n,a.png"))
    with pytest.raises(InputError, match=r"'picture,mos' but must hold image, .* rename the"):
        open_source(written(tmp_path, "picture,mos", "a.png,1"))


def test_one_picture_under_two_spellings_is_there_twice(tmp_path):
    path = written(tmp_path, "image,score", "a/b.png,1", "./a//b.png,2")
    with pytest.raises(InputError, match=r"line 3: \./a//b\.png is named more than once"):
        read_ratings(path)
    (tmp_path / "b.png").touch()
    path = written(tmp_path, "image,score", "b.png,1", "B.png,2")
    if not (tmp_path / "B.png").exists():
        with pytest.raises(InputError, match=r"names b\.png more than once"):
            open_database(path)


def test_one_picture_under_two_names_is_there_twice(tmp_path):
    """Whatever the way to the file: it would be in two parts of a split."""
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        (home / name).write_bytes(name.encode())
    (home / "other.png").symlink_to(home / "a.png")
    (home / "hard.png").hardlink_to(home / "a.png")
    (home / "linked").symlink_to(home / "sub")
    for first, second in (
        ("a.png", "sub/../a.png"),
        ("a.png", str(home / "a.png")),
        ("a.png", "other.png"),
        ("a.png", "hard.png"),
        ("sub/b.png", "linked/b.png"),
        ("sub/b.png", "./linked//b.png"),
        ("gone.png", "./gone.png"),
        ("gone.png", "sub/../gone.png"),
        ("sub/gone.png", "linked/gone.png"),
    ):
        path = written(home, "image,score", "sub/c.png,3", f"{first},1", f"{second},2")
        for read in (read_ratings, open_source, lambda p: open_database(p, check_files=False)):
            with pytest.raises(InputError, match=r"line 4: .* is named more than once, .* line 3"):
                read(path)
    path = written(home, "image,score", "a.png,1", "sub/b.png,2")
    assert open_database(path).names == ("a.png", "sub/b.png")


def test_a_reference_is_one_whatever_its_spelling(tmp_path):
    path = written(tmp_path, "image,score,ref_img", "a,1,r.png", "b,2,./r.png", "c,3,x/../r.png")
    assert read_ratings(path).references == ("r.png",) * 3


def test_a_folder_is_no_picture(tmp_path):
    (tmp_path / "sub.png").mkdir()
    path = written(tmp_path, "image,score", "sub.png,1")
    with pytest.raises(InputError, match=r"1 of 1 pictures are missing: sub\.png"):
        open_database(path)


def test_a_table_that_is_not_utf_8_is_said_where_files_are_missing(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_bytes("image,score\ncafé.png,1\n".encode("latin-1"))
    name = read_ratings(path).names[0]
    hint = "the table is not UTF-8: save it as 'CSV UTF-8'"
    with pytest.raises(InputError, match=hint):
        open_database(path)
    with pytest.raises(InputError, match=hint):
        open_source(path).load(0)
    with pytest.raises(InputError, match=hint):
        common_size(read_ratings(path), None, 75)
    # A file whose name is no UTF-8 itself is found.
    (tmp_path / name).touch()
    assert open_database(path).names == (name,)


def test_predictions_name_the_pictures_of_a_table(tmp_path, sample):
    """The pictures are named as those of a folder are, not like the table."""
    (tmp_path / "sub").mkdir()
    cv2.imwrite(str(tmp_path / "sub" / "a.png"), sample["coffee"][:90, :90])
    path = written(tmp_path, "Image Name;MOS", "sub/a.png;4,5", "gone.png;1")

    class Judge:
        """Judges by the mean grey value."""

        seen: Mapping[str, str] = MappingProxyType({})
        network = NETWORKS[DEFAULT]

        def size_for(self, size):
            return size

        def prepared(self, image):
            return image

        def judge(self, names, images, canvas, rows):
            scores = [image.mean() for image in images]
            return [Prediction(n, s, {}, ()) for n, s in zip(names, scores, strict=True)]

    found, missing = predict_files(Judge(), [path])
    assert found.image == str(tmp_path / "sub" / "a.png")
    assert missing.file == str(tmp_path / "gone.png") and "no such file" in missing.reason
