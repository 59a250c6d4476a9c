"""Listing a folder: links, loops, and everything that is not a picture."""

import errno
import io
import os
import socket
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from mtl.file_tools.distort_files import distort_folder
from mtl.kadis.recipes import named_seed
from mtl.runtime.files import UNFINISHED, InputError, whole_file, write_atomically
from mtl.runtime.paths import folders
from mtl.runtime.paths.folders import contents
from mtl.runtime.pictures import FOREIGN_SUFFIXES, list_pictures, read_picture


def touch(*paths) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_linked_folders_and_files_are_followed(tmp_path):
    touch(tmp_path / "in" / "part1" / "a.png", tmp_path / "else" / "sub" / "b.png")
    touch(tmp_path / "c.png")
    (tmp_path / "in" / "part2").symlink_to("../else")
    (tmp_path / "in" / "c.png").symlink_to("../c.png")
    assert list_pictures(tmp_path / "in") == ["c.png", "part1/a.png", "part2/sub/b.png"]


def test_a_folder_is_listed_once_under_its_own_name(tmp_path):
    touch(tmp_path / "in" / "b" / "x.png", tmp_path / "else" / "y.png")
    for link, target in (("a", "b"), ("b/up", ".."), ("z", "../else"), ("k", "../else")):
        (tmp_path / "in" / link).symlink_to(target)
    (tmp_path / "else" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self").symlink_to("self")
    assert list_pictures(tmp_path / "in") == ["b/x.png", "k/y.png"]
    assert contents(tmp_path / "in").broken == ("self",)


def test_every_kind_of_picture_has_its_suffix(tmp_path):
    names = ["a.JFIF", "b.jpe", "c.ppm", "d.pgm", "e.avif", "f.heic", "g.heif", "h.tiff"]
    touch(*(tmp_path / name for name in names))
    assert list_pictures(tmp_path) == sorted(names)


def test_what_is_passed_over_is_counted_in_a_line(tmp_path):
    touch(*(tmp_path / name for name in ("a.png", ".hidden.txt", ".git/b.txt")))
    lines: list[str] = []
    list_pictures(tmp_path, lines.append)
    assert lines == []
    touch(*(tmp_path / name for name in ("notes.txt", "sub/film.MOV", "sub/film2.mov", "README")))
    list_pictures(tmp_path, lines.append)
    passed = "4 files are no pictures and were passed over (.mov .txt no suffix)"
    assert lines == [f"{tmp_path}: {passed}"]
    touch(*(tmp_path / f"raw{suffix}" for suffix in FOREIGN_SUFFIXES[:2]))
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    lines.clear()
    assert list_pictures(tmp_path, lines.append) == ["a.png", "gone.png"]
    assert lines == [
        f"{tmp_path}: 2 files are pictures of a kind that is not read (.arw .cr2); convert to PNG,"
        " TIFF or JPEG",
        f"{tmp_path}: {passed}",
        f"{tmp_path}: links that lead nowhere were passed over (gone)",
    ]
    with pytest.raises(InputError, match=r"gone\.png: is a link to a file that is missing"):
        read_picture(tmp_path / "gone.png")


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    touch(tmp_path / "a.png", tmp_path / "closed" / "b.png")
    scandir = os.scandir

    def refusing(folder):
        if folder == tmp_path / "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    lines: list[str] = []
    assert list_pictures(tmp_path, lines.append) == ["a.png"]
    assert lines == [f"{tmp_path}: folders that may not be listed were passed over (closed)"]


def test_an_entry_that_cannot_be_looked_at_ends_nothing(tmp_path, monkeypatch):
    touch(
        tmp_path / "in" / "a.png", tmp_path / "in" / "no" / "b.png", tmp_path / "secret" / "c.png"
    )
    for link, target in (("long.png", "x" * 256), ("entered", "../secret/c"), ("d.png", "d.png")):
        (tmp_path / "in" / link).symlink_to(target)

    class Entry:
        """A directory's entry that the system lets nobody look at."""

        def __init__(self, entry):
            self.name, self.is_symlink, self.is_dir = entry.name, entry.is_symlink, entry.is_dir
            self._entry = entry

        def stat(self):
            if self.name in ("entered", "b.png"):
                raise PermissionError(13, "Permission denied", self._entry.path)
            return self._entry.stat()

    real_entries = folders._entries
    monkeypatch.setattr(folders, "_entries", lambda f: map(Entry, real_entries(f)))
    monkeypatch.setattr(Path, "is_dir", None)  # they raise errors for what may not be looked at
    monkeypatch.setattr(Path, "is_file", None)
    found = contents(tmp_path / "in")
    assert found.files == ("a.png", "no/b.png")
    assert found.broken == ("d.png", "entered", "long.png")


def test_folders_nested_past_the_longest_path_are_named(tmp_path, monkeypatch):
    touch(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    name = "d" * 200
    for _ in range(25):  # 5000 bytes, where 4096 are allowed
        os.mkdir(name)  # noqa: PTH102 -- by a short path, since no long one can be given
        os.chdir(name)
    os.close(os.open("b.png", os.O_CREAT))
    monkeypatch.chdir(tmp_path)
    try:
        lines: list[str] = []
        assert list_pictures(tmp_path, lines.append) == ["a.png"]
        (line,) = lines
        assert "folders that may not be listed were passed over (dddd" in line
    finally:
        subprocess.run(["rm", "-r", name], check=True)


def test_pipes_sockets_and_devices_are_not_passed_over(tmp_path):
    touch(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.png"))
    (tmp_path / "null.png").symlink_to("/dev/null")
    (tmp_path / "link.png").symlink_to("pipe.png")
    lines: list[str] = []
    names = ["a.png", "link.png", "null.png", "pipe.png", "s.png"]
    assert list_pictures(tmp_path, lines.append) == names  # their readers leave them out
    assert lines == [f"{tmp_path}: 1 file is no picture and was passed over (no suffix)"]
    assert contents(tmp_path).broken == ()


def test_a_folder_of_pictures_that_may_not_be_listed_itself(tmp_path, monkeypatch):
    def refusing(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refusing)
    lines: list[str] = []
    with pytest.raises(InputError, match=r"cannot be listed \(Permission denied\); permit it"):
        list_pictures(tmp_path, lines.append)
    assert lines == []


def test_grey_and_colour_maps_of_netpbm_are_read(tmp_path, sample):
    image = sample["coffee"][:30, :40]
    Image.fromarray(image).save(tmp_path / "c.ppm")
    Image.fromarray(image[..., 1]).save(tmp_path / "g.pgm")
    deep = (image[..., 1].astype(">u2") * 257).tobytes()
    (tmp_path / "deep.pgm").write_bytes(b"P5 40 30 65535\n" + deep)
    assert (read_picture(tmp_path / "c.ppm") == image).all()
    for name in ("g.pgm", "deep.pgm"):
        assert (read_picture(tmp_path / name)[..., 2] == image[..., 1]).all()


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    path = tmp_path / ("ü" * 125 + "x.csv")
    write_atomically(path, "one")
    assert path.read_text() == "one" and len(list(tmp_path.iterdir())) == 1
    with whole_file(path) as file:
        (temporary,) = set(tmp_path.iterdir()) - {path}
        assert UNFINISHED.fullmatch(temporary.name) and len(os.fsencode(temporary.name)) < 40
        file.write(b"two")
    assert path.read_text() == "two" and len(list(tmp_path.iterdir())) == 1


def test_distort_writes_the_longest_names_and_leaves_out_longer_ones(tmp_path, sample):
    picture = Image.fromarray(sample["coffee"][:20, :20])
    (tmp_path / "in").mkdir()
    fits, long = "f" * (255 - len("_10_03.png")), "l" * (256 - len("_10_03.png"))
    for stem in ("ok", fits, long):
        picture.save(tmp_path / "in" / f"{stem}.png")
    there, rejected = distort_folder(tmp_path / "in", tmp_path / "out", (10,), (3,), 0)
    assert there == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{fits}_10_03.png",
        "ok_10_03.png",
    ]
    (one,) = rejected
    assert one.file == f"{long}.png" and "256 bytes, where 255 are allowed" in one.reason


def test_seeds_and_noise_follow_from_the_bytes_of_a_name(tmp_path, sample):
    picture = Image.fromarray(sample["coffee"][:20, :20])
    for folder in ("in", "too"):
        (tmp_path / folder).mkdir()
        try:
            picture.save(tmp_path / folder / "Z\udcfc.png")
        except OSError:
            pytest.skip("this disk takes only names in UTF-8")
        distort_folder(tmp_path / folder, tmp_path / f"{folder}-out", (11,), (3,), 5)
    first, second = (tmp_path / f"{name}-out" / "Z\udcfc_11_03.png" for name in ("in", "too"))
    assert first.read_bytes() == second.read_bytes()
    assert named_seed(5, "Z\udcfc.png", 11, 3) != named_seed(5, "Z\udcfd.png", 11, 3)


class FullDisk(io.RawIOBase):
    """A file on a disk that takes nothing."""

    def writable(self):
        return True

    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_cannot_be_written_is_named_with_the_remedy(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file" / "t.csv", tmp_path / "file" / "sub" / "t.csv"):
        with pytest.raises(OSError, match=rf"could not be written, choose .*{tmp_path}/file"):
            write_atomically(place, "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"choose another place, or permit it: '.*/folder'$"):
        write_atomically(tmp_path / "folder", "text")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode: FullDisk())
        with pytest.raises(
            OSError, match=r"it could not be written, make room: '.*/t\.csv'$"
        ) as full:
            write_atomically(path, "text")
    assert full.value.errno == errno.ENOSPC
    with pytest.raises(FileNotFoundError, match="other") as other, whole_file(path):
        open(tmp_path / "other")  # noqa: PTH123, SIM115 -- another file's error stays its own
    assert "written" not in str(other.value)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_a_link_to_too_long_a_name_costs_itself_alone(tmp_path, sample):
    (tmp_path / "in").mkdir()
    Image.fromarray(sample["coffee"][:20, :20]).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "long.png").symlink_to("x" * 256)
    (tmp_path / "in" / "long").symlink_to("x" * 256)
    there, (rejected,) = distort_folder(tmp_path / "in", tmp_path / "out", (10,), (3,), 0)
    assert there == 1 and rejected.file == "long.png"
