"""Results are never taken for the pictures that they are made of."""

import cv2
import pytest

from mtl.curation.curate import CurateConfig, curate
from mtl.file_tools.distort_files import distort_folder
from mtl.kadis.generate import generate
from mtl.kadis.plan import GenerateConfig
from mtl.published.export import ExportConfig, export
from mtl.runtime.files import InputError
from mtl.runtime.paths.apart import check_apart, names_apart
from mtl.runtime.pictures import list_pictures


@pytest.fixture
def photos(tmp_path, sample):
    """Two small photographs."""
    folder = tmp_path / "all" / "photos"
    folder.mkdir(parents=True)
    for name in ("coffee", "chelsea"):
        cv2.imwrite(str(folder / f"{name}.png"), sample[name][:40, :60, ::-1])
    return folder


@pytest.mark.parametrize("place", [".", "out", "sub/out", "..", "link"])
def test_results_do_not_go_among_the_pictures(photos, place):
    (photos.parent / "link").symlink_to(photos)
    out = photos.parent / place if place == "link" else photos / place
    before = sorted(photos.rglob("*"))
    with pytest.raises(
        InputError, match=r"would mix in .*choose another --out that is neither inside"
    ):
        distort_folder(photos, out, (10,), (3,), 0)
    with pytest.raises(InputError, match="would mix in"):
        curate(CurateConfig(photos, out, size=(30, 40)))
    assert sorted(photos.rglob("*")) == before
    check_apart(photos, photos.parent / "photos2")


def test_results_that_a_link_finds_among_the_pictures_stay_results(photos, tmp_path, capsys):
    (photos / "up").symlink_to("..")
    (photos.parent / "mine.png").symlink_to("photos/coffee.png")
    out = photos.parent / "out"
    first = distort_folder(photos, out, (10,), (3,), 0)
    files = list_pictures(out)
    (photos / "again.png").symlink_to(out / "coffee_10_03.png")
    for _ in range(2):
        assert distort_folder(photos, out, (10,), (3,), 0, progress=True) == first == (3, [])
        assert list_pictures(out) == files
        said = capsys.readouterr().err
        assert "4 pictures that links find in" in said and "again.png up/out/chelsea_10_03" in said
    crops = photos.parent / "crops"
    settings = CurateConfig(photos, crops, size=(30, 40), duplicate_distance=-1)
    made = [kept.file for kept in curate(settings).kept]
    again = curate(settings)
    assert [kept.file for kept in again.kept] == made and again.resumed == len(made)


def test_a_folder_that_holds_nothing_but_results(photos, tmp_path):
    link = tmp_path / "link"
    link.mkdir()
    (link / "in").symlink_to(photos)
    names = list_pictures(link)
    assert names_apart(link, names, tmp_path / "other") == names
    with pytest.raises(InputError, match="all of its pictures lie in"):
        names_apart(link, names, photos)


def test_exported_pictures_do_not_go_among_the_photographs(photos, tmp_path):
    data = tmp_path / "data"
    settings = {"types": ("jpeg",), "levels": (3,), "metrics": ("gmsd",), "shards": 1}
    generate(GenerateConfig(photos, data, size=(30, 40), per_image=1, num_workers=1, **settings))
    for place in (photos / "out", data / "out"):
        with pytest.raises(InputError, match="choose another --pictures that is neither inside"):
            export(ExportConfig(data, tmp_path / "scores.csv", pictures=place))
        assert not place.exists() and not (tmp_path / "scores.csv").exists()
