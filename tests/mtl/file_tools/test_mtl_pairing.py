"""Which distorted picture belongs to which reference, by their names."""

from pathlib import Path

import cv2
import pytest

from deepfl.commands.score import main
from distortions import distort
from fr_metrics import score_all
from mtl.file_tools.distort_files import distort_folder
from mtl.file_tools.pairing import pair_names
from mtl.file_tools.score_files import pair_folders
from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture


def paired(place: Path, references: str, distorted: str):
    """Names separated by blanks, as empty files in two folders, paired."""
    for folder, names in (("r", references), ("d", distorted)):
        for name in names.split():
            (place / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (place / folder / name).touch()
    return pair_names(place / "r", place / "d")


@pytest.mark.parametrize(
    ("references", "distorted", "of"),
    [
        ("I01.BMP i25.bmp", "i01_01_1.bmp I25_24_5.png", "I01.BMP i25.bmp"),
        ("photo.png photo_01.png", "photo_01_05.png", "photo.png"),
        ("photo.png photo_01.png", "photo_01_01_05.png", "photo_01.png"),
        ("photo.png photo_01.png", "photo_01.jpg", "photo_01.png"),
        ("photo_01.png", "photo_01_05.png", "photo_01.png"),
        ("photo_01.png", "photo_01_x_y.png", "photo_01.png"),
        ("a.png", "a_colorshift_03.bmp", "a.png"),
        ("a.png a_jpeg.png", "a_jpeg_03.bmp", "a.png"),
        ("x.jpg x.png", "x.jpg_01_05.png x.png_01_05.png", "x.jpg x.png"),
        ("s/a.png a.png", "S/A_01_01.png", "s/a.png"),
        ("Straße.png", "STRASSE_01_01.png", "Straße.png"),
        ("X.png x.png", "X.png_01_05.png x.png_01_05.png", "X.png x.png"),
        (
            "straße.png strasse.png",
            "straße.png_01_05.png strasse.png_01_05.png",
            "straße.png strasse.png",
        ),
        ("caf\u00e9.png", "cafe\u0301_01_05.png", "caf\u00e9.png"),
        ("e\u0301/x.png", "\u00c9/X_blur.png", "e\u0301/x.png"),
    ],
)
def test_names_are_read_by_the_rule(tmp_path, references, distorted, of):
    found = paired(tmp_path, references, distorted)
    pairs = zip(of.split(), distorted.split(), strict=True)
    assert found.versions == {name: [version] for name, version in pairs}
    assert not found.lone_distorted


@pytest.mark.parametrize(
    ("references", "distorted", "both"),
    [
        ("photo.png photo_01.png", "photo_01_blur.png", "photo.png or of photo_01.png"),
        ("x.jpg x.png", "x_01_05.png", "x.jpg or of x.png"),
        ("x.jpg x.png", "x.png", "x.jpg or of x.png"),
        ("x.png X.png", "x_01_05.png", "X.png or of x.png"),
        ("a.png a_01_05.png", "a_01_05.png", "a.png or of a_01_05.png"),
        ("a.png a_jpeg_05.png", "A_JPEG_05.bmp", "a.png or of a_jpeg_05.png"),
        ("I1.bmp i1_01_5.bmp", "i1_01_5.bmp", "I1.bmp or of i1_01_5.bmp"),
        ("x.png X.png", "X.PNG_01_05.png", "X.png or of x.png"),
    ],
)
def test_a_name_that_may_belong_to_two_is_refused(tmp_path, references, distorted, both):
    with pytest.raises(InputError, match=both) as raised:
        paired(tmp_path, references, f"other.png {distorted}")
    assert distorted in str(raised.value) and "reference,distorted" in str(raised.value)


def test_references_that_differ_in_case_do_no_harm_where_nothing_belongs_to_them(tmp_path):
    found = paired(tmp_path, "x.png X.png y.png", "y_1.png z.png a_b/y.png")
    assert found.versions == {"y.png": ["y_1.png"]}
    assert found.lone_references == ["X.png", "x.png"]
    assert found.lone_distorted == ["a_b/y.png", "z.png"]


def test_one_folder_of_both_leaves_no_reference_over(tmp_path):
    for name in ("I01.png", "I01_01_01.png", "I02.png", "I02_01_01.png"):
        (tmp_path / name).touch()
    pairs, lone = pair_folders(tmp_path, tmp_path)
    assert [pair.reference.name for pair in pairs] == ["I01.png", "I02.png"] and not lone


def in_one_folder(place: Path, names: str):
    for name in names.split():
        (place / name).touch()
    return pair_names(place, place)


def test_a_file_of_one_folder_is_never_its_own_version(tmp_path):
    found = in_one_folder(tmp_path, "photo.png photo_blur.png photo_q50.png dog.png dog_blur.png")
    assert found.versions == {
        "dog.png": ["dog_blur.png"],
        "photo.png": ["photo_blur.png", "photo_q50.png"],
    }
    assert not found.lone_references and not found.lone_distorted


def test_a_file_of_one_folder_that_belongs_to_none_is_named_once(tmp_path):
    found = in_one_folder(tmp_path, "I01.png I01_01_01.png I02.png")
    assert found.versions == {"I01.png": ["I01_01_01.png"]}
    assert (found.lone_references, found.lone_distorted) == (["I02.png"], [])


@pytest.mark.parametrize(
    "names",
    ["photo.png photo.jpg", "photo.png photo_01.png photo_01_01_05.png", "X.png x.png"],
)
def test_a_picture_of_one_folder_is_not_both_version_and_reference(tmp_path, names):
    with pytest.raises(InputError, match=r"may be a version of .* or the reference of .*; put"):
        in_one_folder(tmp_path, names)


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("references", "distorted", "files"),
    [(".", "d", "x.png d/x_01_05.png"), ("r", ".", "r/x.png x_01_05.png")],
)
def test_one_folder_within_the_other_leaves_nothing_over(
    tmp_path, references, distorted, files, linked
):
    top = tmp_path / "top"
    for name in files.split():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    other = top
    if linked:  # the same folder by another path
        other = tmp_path / "elsewhere"
        other.symlink_to(top, target_is_directory=True)
    found = pair_names(top / references, other / distorted)
    assert found.versions == {"x.png": ["x_01_05.png"]}
    assert not found.lone_references and not found.lone_distorted


def test_a_link_to_a_reference_is_no_version_of_it_and_is_named(tmp_path):
    for folder, name in (("r", "x.png"), ("d", "x_blur.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    (tmp_path / "d/x_01_05.png").symlink_to(tmp_path / "r/x.png")
    found = pair_names(tmp_path / "r", tmp_path / "d")
    assert found.versions == {"x.png": ["x_blur.png"]}
    assert (found.lone_references, found.lone_distorted) == ([], ["x_01_05.png"])
    ((_, (left_out,)),) = [pair_folders(tmp_path / "r", tmp_path / "d")]
    assert "x_01_05.png: is a link to a picture of" in left_out.reason


@pytest.fixture
def photographs(tmp_path, sample) -> Path:
    """Four different photographs, whose names begin alike."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, key in zip(
        ("photo.png", "photo_01.png", "twin.png", "twin.bmp"), sample, strict=False
    ):
        cv2.imwrite(str(folder / name), sample[key][40:110, 60:130, ::-1])
    return folder


def test_distort_then_score_compares_with_the_photograph_itself(photographs, tmp_path, capsys):
    for name in ("Case.png", "case.png"):  # kept apart where the disk tells them apart
        (photographs / name).write_bytes((photographs / "photo.png").read_bytes())
    names = {
        "Case.png_01_05.png": "Case.png",
        "case.png_01_05.png": "case.png",
        "photo_01_05.png": "photo.png",
        "photo_01_01_05.png": "photo_01.png",
        "twin.png_01_05.png": "twin.png",
        "twin.bmp_01_05.png": "twin.bmp",
    }
    distort_folder(photographs, tmp_path / "blurred", [1], [5], 0)
    out = tmp_path / "scores.csv"
    main([str(photographs), str(tmp_path / "blurred"), "--metrics", "ssim", "--out", str(out)])
    assert "6 pictures scored, 0 left out" in capsys.readouterr().err
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert {Path(d).name: Path(r).name for d, r, _ in rows} == names
    for distorted, reference, ssim in rows:
        original = read_picture(reference)
        version = distort(original, "gaussian_blur", 5)
        assert (read_picture(distorted) == version).all()
        assert float(ssim) == pytest.approx(
            float(score_all(original, version[None], ["ssim"])["ssim"][0])
        )


def test_all_that_is_left_over_is_named_and_counted(photographs, tmp_path, capsys):
    blurred = tmp_path / "blurred"
    distort_folder(photographs, blurred, [1], [5], 0)
    for name in blurred.glob("twin*"):
        name.unlink()
    for k in range(12):
        (blurred / f"nobody{k:02d}.png").write_bytes((blurred / "photo_01_05.png").read_bytes())
    out = tmp_path / "scores.csv"
    main([str(photographs), str(blurred), "--metrics", "ssim", "--out", str(out)])
    said = capsys.readouterr().err
    assert "2 pictures scored, 14 left out" in said
    assert "nobody09.png: is named like no picture" in said and "nobody10.png" not in said
    assert "left out: 4 more" in said


def test_published_scores_count_what_is_left_over_on_every_side(photographs, tmp_path, capsys):
    blurred = tmp_path / "blurred"
    distort_folder(photographs, blurred, [1], [5], 0)
    table = tmp_path / "published.csv"
    # Another case than on the disk, KADIS's word for the type, and a picture that is not there.
    rows = ["PHOTO_gblur_05.BMP,Photo.png,0.9", "photo_01_01_05.png,photo_01.png,0.5"]
    table.write_text("\n".join(["dist_im,ref_im,SSIM", *rows, "gone.png,photo.png,1"]))
    main([str(photographs), str(blurred), "--against", str(table), "--metrics", "ssim"])
    shown = capsys.readouterr()
    assert "ssim             2" in shown.out
    # gone.png, two pictures and two references that no row names.
    assert "2 pictures scored, 5 left out" in shown.err
    for name in (
        "gone.png: no such",
        "twin.png_01_05.png: the published",
        "twin.bmp: the published",
    ):
        assert name in shown.err
    table.write_text("\n".join(["dist_im,ref_im,SSIM", *rows, "photo_01_05.png,photo.png,1"]))
    with pytest.raises(InputError, match=r"is both PHOTO_gblur_05.BMP and photo_01_05.png"):
        main([str(photographs), str(blurred), "--against", str(table), "--metrics", "ssim"])
