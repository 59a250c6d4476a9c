"""Distorted versions of a folder of pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from distortions import distort
from mtl.file_tools import distort_files
from mtl.file_tools.distort_files import distort_folder
from mtl.kadis.recipes import named_seed
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import list_pictures, read_picture


def test_pictures_of_one_name_with_other_suffixes_keep_apart(tmp_path, sample):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name, photo in {"a.png": "coffee", "a.bmp": "chelsea", "b.png": "china"}.items():
        cv2.imwrite(str(photos / name), sample[photo][:40, :60, ::-1])
    assert distort_folder(photos, out, (16,), (2,), 7) == (3, [])
    names = {"a.png": "a.png_16_02.png", "a.bmp": "a.bmp_16_02.png", "b.png": "b_16_02.png"}
    assert {path.name for path in out.iterdir()} == {*names.values()}
    for name, version in names.items():
        expected = distort(read_picture(photos / name), 16, 2, seed=named_seed(7, name, 16, 2))
        assert np.array_equal(read_picture(out / version), expected)


NOISE, LEVELS = 11, (2, 4)


@pytest.fixture
def photos(tmp_path, sample) -> Path:
    """Two small photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, part in {"a": sample["coffee"], "b": sample["chelsea"]}.items():
        cv2.imwrite(str(folder / f"{name}.png"), part[:40, :60, ::-1])
    return folder


def distorted(photos, out, *, seed=1, types=(NOISE,), progress=False):
    """The files' digests after a run."""
    assert distort_folder(photos, out, types, LEVELS, seed, progress=progress)[1] == []
    return {name: content_digest(out / name) for name in list_pictures(out)}


def count_distortions(monkeypatch) -> list[tuple[int, int]]:
    calls = []

    def counted(image, number, level, *, seed):
        calls.append((number, level))
        return distort(image, number, level, seed=seed)

    monkeypatch.setattr(distort_files, "distort", counted)
    return calls


def test_another_seed_makes_other_files(photos, tmp_path, capsys):
    first = distorted(photos, tmp_path / "out", seed=1)
    second = distorted(photos, tmp_path / "out", seed=2, progress=True)
    assert second == distorted(photos, tmp_path / "new", seed=2)
    assert all(first[name] != second[name] for name in first) and len(first) == 4
    assert "4 versions were made again" in capsys.readouterr().err


def test_the_same_again_makes_nothing(photos, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    first = distorted(photos, out)
    calls = count_distortions(monkeypatch)
    monkeypatch.setattr(distort_files, "read_picture", None)  # nothing need be decoded
    assert distorted(photos, out, progress=True) == first and not calls
    assert "made again" not in capsys.readouterr().err
    monkeypatch.undo()
    calls = count_distortions(monkeypatch)
    (out / "a_11_02.png").unlink()
    assert distorted(photos, out) == first and calls == [(NOISE, 2)]
    assert {*distorted(photos, out, types=(16,))} > {*first}  # beside the others


def test_another_picture_under_the_same_name(photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = distorted(photos, out)
    cv2.imwrite(str(photos / "b.png"), cv2.imread(str(photos / "b.png"))[::-1])
    calls = count_distortions(monkeypatch)
    second = distorted(photos, out)
    assert calls == [(NOISE, 2), (NOISE, 4)]
    assert {name for name in first if first[name] != second[name]} == {"b_11_02.png", "b_11_04.png"}
    assert second == distorted(photos, tmp_path / "new")


def test_versions_of_a_picture_that_was_damaged_since_are_named(photos, tmp_path, capsys):
    distorted(photos, tmp_path / "out")
    (photos / "b.png").write_bytes(b"damaged")
    there, rejected = distort_folder(photos, tmp_path / "out", (NOISE,), LEVELS, 1, progress=True)
    assert there == 2 and [each.file for each in rejected] == ["b.png"]
    assert "2 versions are of photographs as they were" in capsys.readouterr().err


def told(photos, out, capsys, **settings) -> list[str]:
    """What a run says of the versions that are there."""
    capsys.readouterr()
    there = set(list_pictures(out))
    distorted(photos, out, progress=True, **settings)
    assert there <= set(list_pictures(out))  # nothing is deleted
    return [line for line in capsys.readouterr().err.splitlines() if " are of " in line]


def test_versions_of_photographs_that_are_gone_are_named(photos, tmp_path, capsys):
    out = tmp_path / "out"
    distorted(photos, out)
    distorted(photos, out, types=(16,))
    cv2.imwrite(str(out / "mine_11_02.png"), cv2.imread(str(photos / "a.png")))
    (out / "a_11_02.png").rename(out / "favourite.png")
    assert told(photos, out, capsys) == []
    (photos / "b.png").rename(photos / "c.png")
    (line,) = told(photos, out, capsys)
    assert "4 versions are of no photograph that is there under this name now (b_11_02.png" in line
    (photos / "c.png").rename(photos / "b.png")
    for version in out.glob("c_*.png"):
        version.unlink()
    cv2.imwrite(str(photos / "a.bmp"), cv2.imread(str(photos / "a.png")))  # a becomes a.png
    (line,) = told(photos, out, capsys)
    assert "4 versions are of no photograph" in line and "a_11_02.png a_11_04.png a_16_02" in line


def test_versions_of_other_types_that_are_stale_are_named(photos, tmp_path, capsys):
    out = tmp_path / "out"
    distorted(photos, out)
    assert told(photos, out, capsys, types=(16,)) == []
    (line,) = told(photos, out, capsys, types=(16,), seed=2)
    assert "4 versions are of other types or levels, of other photographs or with" in line
    assert told(photos, out, capsys, types=(NOISE, 16), seed=2) == []
    cv2.imwrite(str(photos / "b.png"), cv2.imread(str(photos / "b.png"))[::-1])
    (line,) = told(photos, out, capsys, types=(16,), seed=2)
    assert "2 versions are of other types or levels" in line and "(b_11_02.png b_11_04.png)" in line


def test_files_of_others_are_not_written_over(photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    mine = (photos / "a.png").read_bytes()
    (out / "b_11_04.png").write_bytes(mine)
    with pytest.raises(InputError, match=r"b_11_04\.png: is in the way and was not written"):
        distorted(photos, out)
    assert [path.name for path in out.iterdir()] == ["b_11_04.png"]
    assert (out / "b_11_04.png").read_bytes() == mine
    (out / "b_11_04.png").unlink()
    distorted(photos, out)
    (out / "a_11_02.png").write_bytes(mine)  # edited afterwards
    with pytest.raises(InputError, match=r"a_11_02\.png: is in the way"):
        distorted(photos, out, seed=2)
    cv2.imwrite(str(out / "a_11_02.png"), cv2.imread(str(out / "a_11_04.png")))  # without a stamp
    with pytest.raises(InputError, match=r"a_11_02\.png: is in the way"):
        distorted(photos, out)
    (out / "a_11_02.png").unlink()
    (out / "a_11_02.png").mkdir()
    with pytest.raises(InputError, match=r"a_11_02\.png: is in the way"):
        distorted(photos, out)
    (out / "a_11_02.png").rmdir()
    for cut in (0, 40, 200):
        (out / "a_11_02.png").write_bytes((out / "a_11_04.png").read_bytes()[:cut])
        with pytest.raises(InputError, match=r"a_11_02\.png: is in the way"):
            distorted(photos, out)


def test_a_kill_at_every_file_is_survived(photos, tmp_path, monkeypatch):
    whole = distorted(photos, tmp_path / "whole", seed=2)
    for limit in range(4):
        out = tmp_path / f"out-{limit}"
        distorted(photos, out, seed=1)
        written: list[Path] = []

        def dying(path, data, limit=limit, written=written):
            if len(written) == limit:
                raise KeyboardInterrupt
            written.append(path)
            write_atomically(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(distort_files, "write_atomically", dying)
            with pytest.raises(KeyboardInterrupt):
                distorted(photos, out, seed=2)
        calls = count_distortions(monkeypatch)
        assert distorted(photos, out, seed=2) == whole and len(calls) == 4 - limit


def test_the_files_are_sound_and_hold_the_pixels_alone(photos, tmp_path):
    distorted(photos, tmp_path / "out")
    with Image.open(tmp_path / "out" / "b_11_04.png") as picture:
        picture.verify()
    with Image.open(tmp_path / "out" / "b_11_04.png") as picture:
        assert len(picture.text.pop("deepfl distort")) == 129 and not picture.text
    expected = distort(
        read_picture(photos / "b.png"), NOISE, 4, seed=named_seed(1, "b.png", NOISE, 4)
    )
    assert np.array_equal(read_picture(tmp_path / "out" / "b_11_04.png"), expected)
