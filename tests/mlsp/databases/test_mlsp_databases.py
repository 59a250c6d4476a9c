"""Rated databases in their authors' layouts: what is read, and how it is turned."""

import csv
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mlsp.databases import DATABASES, Database, download_help, open_database
from mlsp.databases.authentic import read_koniq
from mlsp.databases.author_files import Finder
from mtl.ratings.rated import PARTS
from mtl.runtime.tables.csv_tables import read_table

SHARED = Path("../shared/data")
KADID_TABLE, KONIQ_TABLE = (
    SHARED / name for name in ("kadid10k_ratings.csv", "koniq10k_distributions_sets.csv")
)


@pytest.mark.parametrize("kind", DATABASES)
def test_each_layout_is_recognised_and_whole(kind, tmp_path, make_database):
    folder = make_database(kind, tmp_path / "there" / "unpacked", pictures=True)
    layout = DATABASES[kind]
    # The folder the archive was unpacked in does as well.
    for path in (folder, folder.parent):
        database = open_database(path)
        assert (database.name, database.root, len(database)) == (kind, folder, layout.pictures)
    assert all((folder / name).is_file() for name in database.names)
    assert len(set(database.names)) == layout.pictures
    assert database.scores.dtype == database.original.dtype == np.float64
    # Standard errors of means are no deviations of single ratings.
    if kind in ("live", "tid2008", "tid2013"):
        assert database.deviations is None and "standard errors" in database.no_deviations
    else:
        assert database.deviations is not None and not database.no_deviations
        assert (database.deviations >= 0).all()
    if layout.scale is not None and kind != "koniq10k":
        assert (database.lowest, database.highest) == layout.scale
    if layout.references is None:
        assert set(database.reference_files) == {None} == set(database.distortions)
        assert database.references == database.names
    else:
        assert len(set(database.references)) == layout.references
        assert len(set(database.reference_files)) == layout.references
        assert all((folder / str(name)).is_file() for name in database.reference_files)
        # One reference of a picture, one picture of a reference.
        pairs = set(zip(database.references, database.reference_files, strict=True))
        assert len(pairs) == layout.references
        assert None not in database.distortions
    assert open_database(folder, kind).names == database.names


def test_live_is_turned_around_and_loses_the_copies_of_references(tmp_path, make_database):
    folder = make_database("live", tmp_path / "databaserelease2", pictures=True)
    database = open_database(folder)
    known = scipy.io.loadmat(folder / "dmos_realigned.mat")
    kept = known["orgs"][0] == 0
    assert np.array_equal(database.original, known["dmos_new"][0][kept])
    assert np.array_equal(database.scores, 100 - known["dmos_new"][0][kept])
    assert database.transformation == "100 - DMOS (realigned)"
    # The first 58 of jp2k are copies here; entry 228 is jpeg's first.
    assert database.names[0] == "jp2k/img59.bmp" and database.references[0] == "scene00"
    assert database.reference_files[0] == "refimgs/scene00.bmp"
    counts = {kind: database.distortions.count(kind) for kind in ("jp2k", "jpeg", "wn")}
    assert counts == {"jp2k": 169, "jpeg": 175, "wn": 145}
    # By the folders' info.txt, whose lines are in another order, the references are the same.
    (folder / "refnames_all.mat").unlink()
    assert open_database(folder).references == database.references
    (folder / "dmos_realigned.mat").unlink()
    raw = open_database(folder)
    assert (
        raw.no_deviations == "dmos.mat holds no standard deviations"
        and raw.transformation == "100 - DMOS"
    )
    assert np.array_equal(raw.scores, 100 - np.clip(database.original, 0, 100))


def test_csiq_is_turned_around_and_its_numeric_name_found(tmp_path, make_database):
    database = open_database(make_database("csiq", tmp_path / "csiq", pictures=True))
    assert database.names[0] == "dst_imgs/awgn/1600.AWGN.1.png"
    assert database.reference_files[0] == "src_imgs/1600.png" and database.references[0] == "1600"
    assert database.levels[:6] == (1, 2, 3, 4, 5, 1) and database.distortions[10] == "jpeg2000"
    assert np.array_equal(database.scores, 1 - database.original)
    assert database.original.min() >= 0 and database.original.max() <= 1
    assert np.ptp(database.original) > 0.9
    assert database.distortions.count("contrast") == 116


def test_tid_is_found_whatever_the_case_of_its_files(tmp_path, make_database):
    folder = make_database("tid2013", tmp_path / "tid2013", pictures=True)
    database = open_database(folder)
    first = (folder / "mos_with_names.txt").read_text().split()
    assert database.scores[0] == database.original[0] == float(first[0])
    assert database.names[0] == "distorted_images/I01_01_1.BMP"
    assert database.reference_files[0] == "reference_images/I01.BMP"
    assert database.reference_files[-1] == "reference_images/i25.bmp"
    assert database.references[-1] == "I25" and database.levels[-1] == 5
    assert database.distortions[-1] == "sparse sampling and reconstruction"
    assert database.distortions[7 * 5] == "Gaussian blur"


def test_livec_leaves_out_the_practice_pictures_unless_told(tmp_path, make_database):
    folder = make_database("livec", tmp_path / "ChallengeDB_release", pictures=True)
    mos = scipy.io.loadmat(folder / "Data" / "AllMOS_release.mat")["AllMOS_release"][0]
    database = open_database(folder)
    assert len(database) == 1162 and np.array_equal(database.scores, mos[7:])
    assert database.names[0] == "Images/3.bmp" and database.names[6] == "Images/9.JPG"
    every = open_database(folder, practice_pictures=True)
    assert len(every) == 1169 and np.array_equal(every.scores, mos)
    assert every.names[0] == "Images/trainingImages/t1.bmp" and every.names[7:] == database.names


def test_koniq_prefers_the_large_pictures_and_the_table_with_sets(tmp_path, make_database):
    folder = make_database("koniq10k", tmp_path / "koniq", pictures=True)
    database = open_database(folder)
    assert database.names[3] == "512x384/00003.jpg" and database.sets is None
    assert database.distributions is not None
    assert np.allclose(database.distributions @ np.arange(1, 6), database.scores)
    assert (database.lowest, database.highest) == (1, 5)
    assert database.deviations is not None and set(database.deviations) == {0.5}
    (folder / "512x384").rename(folder / "1024x768")
    assert open_database(folder).names[3] == "1024x768/00003.jpg"
    rows = read_table(folder / "koniq10k_scores_and_distributions.csv", ())
    with (folder / "koniq10k_distributions_sets.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "set"])
        writer.writeheader()
        writer.writerows({**row, "MOS": 50, "set": PARTS[k % 3]} for k, row in enumerate(rows))
    database = open_database(folder)
    assert database.sets is not None and database.sets[:4] == (*PARTS, PARTS[0])
    assert set(database.scores) == {50.0}
    # The counts beside them tell that these scores are not the ratings' 1..5, unlike those above.
    assert (database.lowest, database.highest) == (0, 100)
    assert database.deviations is None and "another scale" in database.no_deviations


def test_kadids_two_variants_of_the_table_say_the_same(tmp_path, make_database):
    folder = make_database("kadid10k", tmp_path / "kadid10k")
    database = open_database(folder, check_files=False)
    assert database.names[0] == "images/I01_01_01.png" and database.levels[4] == 5
    assert database.distortions[0] == "gaussian_blur"
    text = (folder / "dmos.csv").read_text()
    (folder / "dmos.csv").write_text(
        text.replace("dist_img,ref_img,dmos,var", "dist_name,ref_name,dmos,std", 1)
    )
    other = open_database(folder, check_files=False)
    assert other.names == database.names and np.array_equal(other.scores, database.scores)
    assert np.array_equal(other.deviations, database.deviations)


@pytest.mark.skipif(not KADID_TABLE.is_file(), reason="the published table is not here")
def test_kadids_published_table():
    database = open_database(KADID_TABLE, check_files=False)
    assert database.name == "kadid10k" and len(database) == 10125
    assert len(set(database.references)) == 81
    assert database.names[0] == "images/I01_01_01.png" and database.scores[0] == 4.57
    assert database.deviations is not None and database.deviations[0] == 0.496
    # Higher is better: the mildest level of each type is rated above the strongest, save the two
    # types whose mildest level is the third.
    levels, types = np.array(database.levels), np.array(database.distortions)
    for kind in sorted(set(types) - {"mean_shift", "contrast_change"}):
        mild, strong = (database.scores[(types == kind) & (levels == k)].mean() for k in (1, 5))
        assert mild > strong, kind
    # They are deviations, not variances: 30 ratings of 1 ... 5 whose mean, before it was rounded,
    # is at most 0.005 above the published one cannot vary more than this.
    means = database.scores + 0.005
    largest_variance = (means - 1) * (5 - means) * 30 / 29
    assert (database.deviations**2 <= largest_variance).all()
    assert (database.deviations > largest_variance).sum() >= 3


@pytest.mark.skipif(not KONIQ_TABLE.is_file(), reason="the published table is not here")
def test_koniqs_published_table():
    database = open_database(KONIQ_TABLE, check_files=False)
    assert database.name == "koniq10k" and len(database) == 10073
    assert database.sets is not None and database.distributions is not None
    assert [database.sets.count(part) for part in PARTS] == [7058, 1000, 2015]
    assert database.names[0] == "1024x768/10004473376.jpg"
    assert database.scores[0] == pytest.approx(77.3836206897)
    # Higher is better on both scales; SD is that of the ratings, which are on the other one.
    assert (database.lowest, database.highest) == (0, 100)
    assert database.deviations is None and "another scale" in database.no_deviations
    ratings = np.arange(1, 6)
    means = database.distributions @ ratings
    assert np.corrcoef(means, database.scores)[0, 1] > 0.98
    spread = np.sqrt(database.distributions @ ratings**2 - means**2)
    published = [float(row["SD"]) for row in read_table(KONIQ_TABLE, ("SD",))]
    assert np.allclose(spread, published, rtol=0.02, atol=0.02)


def test_a_users_table_with_every_column(tmp_path):
    lines = [
        "image,score,reference,reference_file,distortion,level,std",
        "a/1.png,3.5,tree,ref/tree.png,blur,2,0.25",
        "A/2.PNG,4,tree,ref/tree.png,,,0.5",
        "b.png,1,,,,,1",
    ]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    for name in ("a/1.png", "a/2.png", "ref/tree.png", "b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 16), "red").save(tmp_path / name)
    database = open_database(tmp_path / "mine.csv")
    assert database.name == "mine" and database.root == tmp_path
    assert database.names == ("a/1.png", "a/2.png", "b.png")
    assert database.references == ("tree", "tree", "b.png")
    assert database.reference_files == ("ref/tree.png", "ref/tree.png", None)
    assert database.distortions == ("blur", None, None) and database.levels == (2, None, None)
    assert database.deviations is not None and database.deviations.tolist() == [0.25, 0.5, 1]
    source = database.source()
    assert source.columns[0] == {
        "score": "3.5",
        "reference": "tree",
        "distortion": "blur",
        "level": "2",
    }
    assert source.columns[2]["distortion"] == "" == source.columns[2]["level"]
    assert source.size(1) == (16, 20) and source.load(1).shape == (16, 20, 3)


def test_pictures_of_one_reference_file_belong_together(tmp_path):
    (tmp_path / "mine.csv").write_text(
        "image_name,c1,c2,c3,c4,c5,reference_file\na,1,0,0,0,1,r\nb,0,0,1,0,0,r\nc,0,0,0,0,9,\n"
    )
    database = open_database(tmp_path / "mine.csv", check_files=False)
    assert database.references == ("r", "r", "c")
    assert database.scores.tolist() == [3, 3, 5] and database.deviations is None


@given(order=st.permutations(range(12)))
def test_the_order_of_a_table_is_the_order_of_the_pictures(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("table")
    lines = [f"{k}.png,{k / 7!r},scene{k % 4},{k % 3}\n" for k in range(12)]
    databases = []
    for name, rows in (("straight", range(12)), ("permuted", order)):
        text = "image,score,reference,level\n" + "".join(lines[k] for k in rows)
        (folder / f"{name}.csv").write_text(text)
        databases.append(open_database(folder / f"{name}.csv", check_files=False))
    straight, permuted = databases
    assert permuted.names == tuple(straight.names[k] for k in order)
    assert np.array_equal(permuted.scores, straight.scores[list(order)])
    assert permuted.references == tuple(straight.references[k] for k in order)
    assert permuted.levels == tuple(straight.levels[k] for k in order)


def test_the_order_of_tids_lines_is_the_order_of_the_pictures(tmp_path, make_database):
    folder = make_database("tid2008", tmp_path / "tid2008")
    straight = open_database(folder, check_files=False)
    for name in ("mos_with_names.txt", "mos_std.txt"):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join(reversed(lines)))
    turned = open_database(folder, check_files=False)
    assert turned.names == straight.names[::-1]
    assert np.array_equal(turned.scores, straight.scores[::-1])


def test_a_file_of_exactly_the_name_comes_first(tmp_path):
    for name in ("Sub/a.png", "Sub/A.PNG", "Sub/B.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    finder = Finder(tmp_path)
    assert finder.find("Sub/a.png") == "Sub/a.png" and finder.find("Sub/A.PNG") == "Sub/A.PNG"
    assert finder.find("sub/b.PNG") == "Sub/B.png" and finder.find("sub/c.png") is None
    assert finder.find("../" + tmp_path.name + "/sub/b.png") == f"../{tmp_path.name}/Sub/B.png"
    assert finder.find(str(tmp_path / "sub" / "b.png")) == str(tmp_path / "Sub" / "B.png")


def test_where_to_obtain_them_is_said():
    text = download_help()
    for layout in DATABASES.values():
        assert f"{layout.name}: {layout.title}" in text and layout.where.split()[0] in text
        assert layout.doi is None or layout.doi in text
        assert all(Path(table).name in layout.folder for table in layout.tables)
    assert max(map(len, download_help().splitlines())) < 250


def test_parts_of_different_lengths_are_refused(tmp_path):
    (tmp_path / "mine.csv").write_text("image,score\na,1\nb,2\n")
    known = open_database(tmp_path / "mine.csv", check_files=False)
    fields = {name: getattr(known, name) for name in known.__dataclass_fields__}
    with pytest.raises(ValueError, match="differ in length"):
        Database(**{**fields, "levels": (1,)})


@pytest.mark.parametrize(("mos", "scale"), [((2.5, 3.5), (1, 5)), ((25, 35), (25, 35))])
def test_koniqs_deviations_have_a_unit_only_where_the_figures_tell_it(tmp_path, mos, scale):
    """Its SD is that of the ratings 1..5, whatever the scale of the MOS."""
    table = tmp_path / "koniq10k_distributions_sets.csv"
    table.write_text(f"image_name,mos,sd\na.jpg,{mos[0]},0.5\nb.jpg,{mos[1]},0.6\n")
    database = read_koniq(Finder(tmp_path), table)
    assert (database.lowest, database.highest) == scale
    assert (database.deviations is None) == (scale != (1, 5)) == bool(database.no_deviations)
