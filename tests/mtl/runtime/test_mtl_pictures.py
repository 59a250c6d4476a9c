"""Reading pictures: every kind a user has, and every way of not being one."""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import encode_png, list_pictures, picture_size, read_picture
from mtl.runtime.tables.csv_tables import read_table, table_text


def test_rgb_is_read_as_it_is(tmp_path, sample):
    Image.fromarray(sample["chelsea"]).save(tmp_path / "c.png")
    assert np.array_equal(read_picture(tmp_path / "c.png"), sample["chelsea"])
    assert picture_size(tmp_path / "c.png") == sample["chelsea"].shape[:2]


def test_grey_palette_alpha_and_cmyk_become_rgb(tmp_path, sample):
    picture = Image.fromarray(sample["coffee"])
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        path = tmp_path / f"{mode}.tif"
        picture.convert(mode).save(path)
        image = read_picture(path)
        assert image.shape == sample["coffee"].shape and image.dtype == np.uint8
    grey = read_picture(tmp_path / "L.tif")
    assert np.array_equal(grey[..., 0], grey[..., 1])
    assert np.array_equal(read_picture(tmp_path / "RGBA.tif"), sample["coffee"])


def test_sixteen_bit_grey_is_divided_by_257(tmp_path):
    deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(read_picture(tmp_path / "deep.png")[..., 0], deep // 257)


def test_the_exif_orientation_is_applied(tmp_path, sample):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    Image.fromarray(sample["chelsea"]).save(tmp_path / "turned.png", exif=exif)
    image = read_picture(tmp_path / "turned.png")
    assert np.array_equal(image, np.rot90(sample["chelsea"], -1))
    assert picture_size(tmp_path / "turned.png") == image.shape[:2]


def test_what_is_no_picture_is_named(tmp_path, sample):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(sample["china"]).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 3])
    for name in ("text.jpg", "empty.png", "cut.jpg", "missing.png"):
        with pytest.raises(InputError, match=name) as raised:
            read_picture(tmp_path / name)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="folder"):
        read_picture(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.png")
    for read in (read_picture, picture_size, content_digest):
        with pytest.raises(InputError, match=r"p\.png: is no file but a pipe"):
            read(tmp_path / "p.png")


def test_listing_is_sorted_recursive_and_leaves_hidden_files_out(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.jpeg", ".hidden.png", ".git/d.png", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert list_pictures(tmp_path) == ["a.jpg", "b.PNG", "sub/c.jpeg"]


def test_listing_nothing_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    for path, problem in (
        (tmp_path / "gone", "no such folder"),
        (tmp_path / "notes.txt", "is a file"),
        (tmp_path, "holds no pictures"),
    ):
        with pytest.raises(InputError, match=problem):
            list_pictures(path)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))))
def test_png_is_lossless(image):
    decoded = cv2.imdecode(np.frombuffer(encode_png(image), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded[..., ::-1], image)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    write_atomically(path, "one")
    write_atomically(path, b"two")
    assert path.read_text() == "two"
    with pytest.raises(TypeError):
        write_atomically(path, 3)  # type: ignore[arg-type]
    assert path.read_text() == "two" and len(list(path.parent.iterdir())) == 1


def test_a_pipe_or_device_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_bytes)
        write_atomically(pipe, "through")
        assert read.result() == b"through"
    assert pipe.is_fifo() and [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_tables_keep_what_they_hold(tmp_path):
    rows = [{"image": "a,b.png", "score": "1.5"}, {"image": 'qu"ote.png', "score": ""}]
    (tmp_path / "t.csv").write_text(table_text(rows))
    assert read_table(tmp_path / "t.csv", ("image", "score")) == rows


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"picture,mos\na.png,3\n", "image is missing"),
        (b"image,score\n", "no rows"),
        (b"", "image is missing"),
        (b"\xff\xfe\x00\x01binary", "not a CSV"),
    ],
)
def test_tables_of_another_kind_are_refused(tmp_path, content, problem):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_table(tmp_path / "t.csv", ("image", "score"))
