"""Files that are to be written are refused before anything is computed."""

import os
from pathlib import Path

import pytest

from mlsp.features.sources import open_source
from mtl.runtime.files import InputError
from mtl.runtime.paths.outputs import check_output, check_output_folder, check_text_output


def test_files_that_can_be_written_are_taken(tmp_path):
    (tmp_path / "there.csv").touch()
    (tmp_path / "pictures.csv").touch()
    for name in ("new.csv", "there.csv", "new/folder/new.csv"):
        check_text_output(tmp_path / name, [tmp_path / "pictures.csv", tmp_path / "gone", tmp_path])
    check_text_output(Path(os.devnull), [Path(os.devnull)])
    check_output_folder(tmp_path)
    check_output_folder(tmp_path / "new" / "folder")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", ["symlink_to", "hardlink_to"])
def test_an_input_by_another_name_is_not_replaced(tmp_path, kind):
    table = tmp_path / "ratings.csv"
    table.write_text("image,score\n")
    getattr(tmp_path.joinpath("other.csv"), kind)(table)
    with pytest.raises(InputError, match=r"other\.csv: --json would replace .*ratings\.csv"):
        check_output(tmp_path / "other.csv", [table], option="--json")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", "is a folder; give --out the name of a file"),
        ("file/scores.csv", "file is no folder; choose another --out"),
        ("x" * 256, "the name is too long; give --out a shorter one"),
        ("photo.JPG", "is a picture's name, but --out writes text"),
    ],
)
def test_names_that_cannot_be_written(tmp_path, name, words):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=words):
        check_text_output(tmp_path / name)


@pytest.mark.parametrize("name", ["file", "file/results", "x" * 256])
def test_folders_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--out"):
        check_output_folder(tmp_path / name)


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may all
    check_output_folder(tmp_path)
    with pytest.raises(InputError, match="nothing may be written in"):
        check_output(tmp_path / "scores.csv")


@pytest.mark.parametrize("name", ["pictures.csv", "pictures.tsv", "pictures.TXT"])
def test_a_table_of_pictures_may_have_any_usual_ending(tmp_path, name):
    (tmp_path / name).write_text("image\tplace\na.png\there\n")
    assert open_source(tmp_path / name).names == ["a.png"]
