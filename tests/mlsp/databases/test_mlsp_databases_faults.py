"""Databases that are damaged, altered or incomplete: one line names the file and the remedy."""

import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsp.databases import DATABASES, open_database
from mlsp.databases.author_files import read_mat
from mtl.runtime.files import InputError
from mtl.runtime.tables.columns import TableColumns


def refused(path, problem, *args, **options):
    with pytest.raises(InputError, match=problem) as raised:
        open_database(path, *args, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def cut(path, share=0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.fixture
def tables(tmp_path, make_database):
    """A database's tables without its pictures."""
    return lambda kind: make_database(kind, tmp_path / kind)


@pytest.mark.parametrize("kind", DATABASES)
def test_missing_pictures_are_counted_and_named(kind, tables):
    folder = tables(kind)
    message = refused(folder, "of [0-9,]+ pictures are missing: .*; unpack")
    assert str(folder) in message and message.count(", ...") == 1
    layout = DATABASES[kind]
    expected = layout.pictures + (layout.references or 0)
    assert f"{expected:,} of {expected:,} pictures" in message


def test_one_missing_picture_and_one_missing_reference(tmp_path, make_database):
    folder = make_database("csiq", tmp_path / "csiq", pictures=True)
    (folder / "dst_imgs" / "blur" / "scene07.BLUR.3.png").unlink()
    (folder / "src_imgs" / "1600.png").unlink()
    refused(
        folder,
        "2 of 896 pictures are missing: dst_imgs/blur/scene07.BLUR.3.png, src_imgs/1600.png; un",
    )
    shutil.rmtree(folder / "dst_imgs" / "awgn")
    refused(folder, "152 of 896 pictures are missing: dst_imgs/awgn/1600.AWGN.1.png, .*, ...;")


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("live", "dmos_realigned.mat"),
        ("live", "refnames_all.mat"),
        ("livec", "Data/AllImages_release.mat"),
        ("livec", "Data/AllStdDev_release.mat"),
        ("csiq", "csiq.DMOS.xlsx"),
    ],
)
def test_truncated_files_are_said(kind, file, tables):
    folder = tables(kind)
    cut(folder / file)
    refused(folder, f"{re.escape(file)}: is damaged or no .* unpack", check_files=False)
    (folder / file).write_bytes(b"")
    refused(folder, f"{re.escape(file)}: is damaged or no .* unpack", check_files=False)


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("tid2013", "mos_with_names.txt"),
        ("kadid10k", "dmos.csv"),
        ("koniq10k", "koniq10k_scores_and_distributions.csv"),
    ],
)
def test_tables_that_end_early_have_wrong_counts(kind, table, tables):
    folder = tables(kind)
    lines = (folder / table).read_text().splitlines()
    (folder / table).write_text("\n".join(lines[:-5]) + "\n")
    problem = "has .* not .*; unpack"
    if kind == "tid2013":
        problem = "mos_std.txt: holds 3,000 standard deviations, not 2,995"
    refused(folder, problem, check_files=False)


def test_exchanged_folders_of_live_are_noticed(tmp_path, make_database):
    folder = make_database("live", tmp_path / "live", pictures=True)
    for old, new in (("jp2k", "x"), ("jpeg", "jp2k"), ("x", "jpeg")):
        (folder / old).rename(folder / new)
    refused(folder, "jp2k: holds more pictures than LIVE's 227")


def test_altered_tables_of_live_are_noticed(tables):
    folder = tables("live")
    path = folder / "dmos_realigned.mat"
    held = {k: v for k, v in scipy.io.loadmat(path).items() if k[0] != "_"}

    def changed(**arrays):
        scipy.io.savemat(path, {**held, **arrays})

    changed(orgs=1 - held["orgs"])
    refused(folder, "has 203 pictures of .*, not LIVE", check_files=False)
    changed(dmos_new=held["dmos_new"][:, :-1])
    refused(folder, "holds 981 entries of dmos_new, not 982", check_files=False)
    broken = held["dmos_new"].copy()
    broken[0, 7] = np.nan
    changed(dmos_new=broken)
    refused(folder, "entry 8 of dmos_new is not a number", check_files=False)
    changed(dmos_new=held["dmos_new"].reshape(2, 491))
    refused(folder, "dmos_new is no row of numbers", check_files=False)
    changed(dmos_new="text")
    refused(folder, "dmos_new is no row of numbers", check_files=False)
    scipy.io.savemat(path, {k: v for k, v in held.items() if k != "orgs"})
    refused(folder, "does not hold orgs", check_files=False)


def test_names_that_leave_the_folder_are_refused(tables):
    folder = tables("live")
    cells = scipy.io.loadmat(folder / "refnames_all.mat")["refnames_all"]
    cells[0, 0] = "../../secret.bmp"
    scipy.io.savemat(folder / "refnames_all.mat", {"refnames_all": cells})
    refused(folder, "entry 1 of refnames_all is no file name", check_files=False)


def test_references_of_live_need_one_of_their_files(tables):
    folder = tables("live")
    (folder / "refnames_all.mat").unlink()
    edit(folder / "wn" / "info.txt", " img9.bmp ", " img900.bmp ")
    refused(folder, "wn/info.txt: does not name img9.bmp", check_files=False)
    edit(folder / "wn" / "info.txt", " img900.bmp ", " ")
    refused(folder, "wn/info.txt: line 166: has 2 fields, not 3", check_files=False)
    (folder / "wn" / "info.txt").unlink()
    refused(folder, "wn/info.txt: no such file", check_files=False)
    (folder / "jp2k" / "info.txt").unlink()
    refused(folder, "neither refnames_all.mat nor jp2k/info.txt", check_files=False)


HEADER = [None, "image", "dst_type", "dst_lev", "dmos_std", "dmos"]


@pytest.mark.parametrize(
    ("header", "row", "problem"),
    [
        ([*HEADER[:-2], "dmos"], [], "has no column dmos_std"),
        (["nothing"], [], "has no column image"),
        (HEADER, [None, "a", "fog", 1, 0.1, 0.5], "row 1 below the header: unknown picture a fog"),
        (HEADER, [None, "a", "blur", "x", 0.1, 0.5], "row 1 below the header: 'x' is not a number"),
        (HEADER, [None, "a", "blur", 1, 0.1], "row 1 below the header: None is not a number"),
        (HEADER, [None, None, "blur", 1, 0.1, 0.5], "unknown picture None blur"),
        (
            HEADER,
            [None, "a", "blur", 1, 0.1, 0.5],
            "has 1 pictures of 1 references, not CSIQ's 866",
        ),
    ],
)
def test_altered_workbooks_are_noticed(tmp_path, workbook, header, row, problem):
    workbook(tmp_path / "csiq.DMOS.xlsx", {"all_by_image": [[], header, row]})
    refused(tmp_path, problem, check_files=False)


def test_scores_outside_their_scale_are_noticed(tables):
    folder = tables("kadid10k")
    lines = (folder / "dmos.csv").read_text().splitlines()
    fields = lines[1].split(",")
    lines[1] = ",".join([*fields[:2], "57.5", fields[3]])
    (folder / "dmos.csv").write_text("\n".join(lines) + "\n")
    refused(
        folder, r"I01_01_01.png has the score 57.5, outside KADID-10k's 1..5", check_files=False
    )


@pytest.mark.parametrize(
    ("kind", "table", "old", "new", "problem"),
    [
        ("kadid10k", "dmos.csv", "dist_img,ref_img", "dist_img,other", "must hold dist_img"),
        ("kadid10k", "dmos.csv", "dmos,var", "score,var", "dmos is missing"),
        ("kadid10k", "dmos.csv", "I01_01_01.png", "I01_99_01.png", "line 2: 'I01_99_01.png'"),
        ("kadid10k", "dmos.csv", "I01.png", "I02.png", "I01_01_01.png is no version of 'I02.png'"),
        ("kadid10k", "dmos.csv", "I01_01_02.png", "I01_01_01.png", "I01_01_01.png more than once"),
        ("tid2008", "mos_with_names.txt", "I02_", "X02_", "line 69: 'X02_"),
        ("tid2008", "mos_with_names.txt", "_01_1.bmp", "_01_2.bmp", "more than once"),
        ("tid2008", "mos_with_names.txt", " i01", " i01 7", "line 1: has 3 fields, not 2"),
        ("tid2008", "mos_std.txt", "0.", "zero", "line 1: 'zero"),
        ("koniq10k", "koniq10k_scores_and_distributions.csv", ",SD", ",S", "SD is missing"),
        ("koniq10k", "koniq10k_scores_and_distributions.csv", ",c3", ",c", "but lacks c3"),
    ],
)
def test_altered_text_tables_are_noticed(tables, kind, table, old, new, problem):
    folder = tables(kind)
    edit(folder / table, old, new)
    refused(folder, problem, check_files=False)


def test_what_is_no_database_is_said(tmp_path, tables):
    (tmp_path / "empty").mkdir()
    message = refused(tmp_path / "empty", "holds no table of scores that is known")
    assert "download-help" in message and "dmos.csv" in message
    refused(tmp_path / "nowhere", "no such folder or file; .*download-help")
    refused(tmp_path / "empty", "what: is no known database; known are live csiq", "what")
    refused(tmp_path / "empty", "is a folder; give the CSV file", "csv")
    kadid = tables("kadid10k")
    refused(kadid, "holds no table of scores that is known .dmos.mat, dmos_realigned.mat.", "live")
    refused(kadid / "dmos.csv", "is a file; give the folder of LIVE", "live")
    refused(kadid, "only LIVE in the Wild has practice", check_files=False, practice_pictures=True)
    (kadid / "notes.txt").write_text("-")
    refused(kadid / "notes.txt", "is a file; give the database's folder")
    tables("csiq")
    refused(tmp_path, "holds more than one database .csiq in .*, kadid10k in .*; give one folder")
    assert open_database(tmp_path, "kadid10k", check_files=False).root == kadid


def test_the_other_edition_of_tid_is_refused(tables):
    refused(tables("tid2013"), "is no picture of TID2008; leave out --database", "tid2008")
    refused(tables("tid2008"), "has 1,700 pictures of 25 references, not TID2013's", "tid2013")


def test_a_users_table_is_checked(tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("image,score,level\na.png,1,2\nb.png,2,high\n")
    refused(table, "line 3: level 'high' is no whole number")
    table.write_text("image,score,std\na.png,1,\n")
    refused(table, "line 2: std '' is not a number")
    table.write_text("image,score,reference_file\na.png,1,r.png\n")
    refused(table, "2 of 2 pictures are missing: a.png, r.png; correct mine.csv or put them there")
    table.write_bytes(b"\xff\xfe\x00")
    refused(table, "is not a CSV text file")


# Each example reads four files, each in a process of its own.
@settings(max_examples=6)
@given(share=st.floats(0, 0.999), place=st.floats(0, 0.999), byte=st.integers(0, 255))
def test_damaged_mat_files_never_crash(tmp_path_factory, share, place, byte):
    folder = tmp_path_factory.mktemp("mat")
    rng = np.random.default_rng(0)
    cells = np.array(["a.bmp", "bb.bmp", "c.bmp"], object)
    held = {"names": cells, "scores": rng.uniform(0, 100, (1, 40))}
    for compressed in (False, True):
        path = folder / f"{compressed}.mat"
        scipy.io.savemat(path, held, do_compression=compressed)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="unpack"):
            read_mat(path, ["names", "scores"])
        altered = bytearray(whole)
        altered[int(len(whole) * place)] = byte
        path.write_bytes(altered)
        try:
            read = read_mat(path, ["names", "scores"])
        except InputError:
            continue
        assert set(read) == {"names", "scores"}


def rewrite(path, part, data):
    """The same archive with another part."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    parts[part] = data
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)


EXTERNAL = '<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/hostname">]><sst><si><t>&a;</t></si></sst>'


@pytest.mark.parametrize(
    ("part", "data", "problem"),
    [
        ("xl/sharedStrings.xml", EXTERNAL.encode(), "has no column image"),
        ("xl/worksheets/sheet1.xml", b" " * (64 * 2**20 + 1), "is larger than"),
        ("xl/worksheets/sheet1.xml", b"<worksheet><row>", "no element found|mismatched"),
        ("xl/workbook.xml", b"<w/>", "is damaged"),
        ("xl/_rels/workbook.xml.rels", b"<R/>", "is damaged"),
    ],
)
def test_workbooks_that_attack_or_are_broken_are_refused(tmp_path, workbook, part, data, problem):
    path = tmp_path / "csiq.DMOS.xlsx"
    workbook(path, {"all_by_image": [["image"]]})
    rewrite(path, part, data)
    message = refused(tmp_path, problem, check_files=False)
    assert str(path) in message and "unpack" in message


def test_negative_deviations_are_refused_in_every_database(tables):
    folder = tables("kadid10k")
    lines = (folder / "dmos.csv").read_text().splitlines()
    lines[2] = f"{lines[2].rpartition(',')[0]},-0.5"
    (folder / "dmos.csv").write_text("\n".join(lines) + "\n")
    refused(folder, "dmos.csv: line 3: var is -0.5; deviations must be at least 0")
    folder = tables("tid2008")
    edit(folder / "mos_std.txt", "0.", "-0.")
    refused(folder, r"mos_std.txt: line 1: -0\.\d+ is negative", check_files=False)
    folder = tables("livec")
    path = folder / "Data" / "AllStdDev_release.mat"
    held = scipy.io.loadmat(path)["AllStdDev_release"]
    held[0, 10] = -1
    scipy.io.savemat(path, {"AllStdDev_release": held})
    refused(folder, "AllStdDev_release.mat: entry 11 .* is negative", check_files=False)


def test_options_for_columns_are_refused_where_the_columns_are_known(tables):
    table = tables("kadid10k") / "dmos.csv"
    refused(table, "whose columns are known; .*--database csv", columns=TableColumns((), "better"))
    # As any other table it is one with a DMOS.
    refused(table, "say --higher-is better or", "csv", check_files=False)
    known = open_database(
        table, "csv", check_files=False, columns=TableColumns(("std=var",), "better")
    )
    assert known.name == "dmos" and known.deviations is not None


@pytest.mark.parametrize("kind", ["kadid10k", "koniq10k"])
@pytest.mark.parametrize("give", ["table", "folder"])
def test_a_part_of_a_database_is_read_as_ones_own_table(tmp_path, kind, give):
    """Under its own header and file name it is taken for the whole."""
    if kind == "kadid10k":
        table = tmp_path / "dmos.csv"
        lines = ["dist_img,ref_img,dmos,var"]
        lines += [f"I0{r}_01_0{k}.png,I0{r}.png,{4.6 - k / 2},0.4" for r in (1, 2) for k in (1, 2)]
    else:
        table = tmp_path / "koniq10k_distributions_sets.csv"
        lines = ["image_name,c1,c2,c3,c4,c5,MOS,SD"]
        lines += [f"{k}.jpg,1,2,25,73,7,{60 + k},0.5" for k in range(4)]
    table.write_text("\n".join(lines))
    path = table if give == "table" else tmp_path
    message = refused(path, "4 pictures", check_files=False)
    assert f"if it is a table of your own, give {table} with --database csv" in message
    assert "\n" not in message
    options = message.partition("--database csv")[2].split()
    columns = TableColumns(("std=var",), "better") if options else TableColumns()
    assert not options or options == ["--higher-is", "better", "--columns", "std=var"]
    own = open_database(table, "csv", check_files=False, columns=columns)
    if kind == "kadid10k":
        assert own.references == ("I01.png", "I01.png", "I02.png", "I02.png")
        assert own.deviations.tolist() == [0.4] * 4 and (own.lowest, own.highest) == (1, 5)
    else:
        assert (own.lowest, own.highest) == (0, 100) and own.deviations is None


def test_what_is_no_file_is_said(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        for kind in (None, "csv", "kadid10k"):
            refused(path, "is neither a folder nor a file that can be read twice", kind)
