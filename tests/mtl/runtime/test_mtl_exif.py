"""EXIF blocks of every oddity: the picture is turned, and nothing else of the block matters."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError, features

from mtl.curation.photograph import read_photograph
from mtl.runtime.pictures import picture_size, read_picture

TURNED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: np.rot90(image, 2),
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image, 1),
}
SHORT, ASCII, RATIONAL, SRATIONAL, FLOAT, GPS = 3, 2, 5, 10, 11, 0x8825


def directory(start: int, entries: list[tuple[int, int, int, bytes]]) -> bytes:
    """The bytes of a TIFF directory at `start`: tag, type, count, value."""
    table, beyond = struct.pack("<H", len(entries)), b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        table += struct.pack("<HHI", tag, kind, count)
        if len(value) <= 4:
            table += value.ljust(4, b"\0")
        else:
            table += struct.pack("<I", after + len(beyond))
            beyond += value
    return table + b"\0" * 4 + beyond


def exif(orientation: int, *others: tuple[int, int, int, bytes], gps=()) -> bytes:
    """An EXIF block with an orientation, other tags, and tags of the GPS directory."""
    entries = [(0x0112, SHORT, 1, struct.pack("<H", orientation)), *others]
    if gps:
        length = len(directory(8, [*entries, (GPS, 4, 1, b"\0" * 4)]))
        entries.append((GPS, 4, 1, struct.pack("<I", 8 + length)))
    block = b"II*\0" + struct.pack("<I", 8) + directory(8, sorted(entries))
    return block + (directory(len(block), list(gps)) if gps else b"")


ODD = {
    "latitude as text": exif(6, gps=[(2, ASCII, 8, b"52.5200\0")]),
    "negative altitude": exif(6, gps=[(6, SRATIONAL, 1, struct.pack("<ii", -123, 10))]),
    "private float": exif(6, (0x9000, FLOAT, 1, struct.pack("<f", 1.5))),
    "rational by zero": exif(6, (0x011A, RATIONAL, 1, struct.pack("<II", 1, 0))),
    "unknown type": exif(6, (0x9100, 99, 3, b"abc")),
    "value behind the end": exif(6, (0x010F, ASCII, 900, struct.pack("<I", 70000)[:4])),
}
BROKEN = {
    "no header": b"rubbish that is no TIFF header",
    "header alone": b"II*\0\x08\0\0\0",
    "directory behind the end": b"MM\0*\0\xff\xff\xff",
    "orientation 9": exif(9),
    "orientation as text": b"II*\0\x08\0\0\0" + directory(8, [(0x0112, ASCII, 2, b"6\0")]),
}


def save(folder, suffix: str, pixels: np.ndarray, block: bytes):
    """A picture file whose pixels are stored as they are, with this EXIF block."""
    path = folder / f"picture.{suffix}"
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95}}.get(suffix, {})
    Image.fromarray(pixels).save(path, exif=b"Exif\0\0" + block, **options)
    return path


@pytest.fixture
def pixels(sample) -> np.ndarray:
    return sample["chelsea"][100:180:2, 100:220:2]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("odd", ODD)
def test_odd_tags_beside_the_orientation_do_not_matter(tmp_path, pixels, suffix, odd):
    path = save(tmp_path, suffix, pixels, ODD[odd])
    for image in (read_picture(path), read_photograph(path)):
        assert image.shape == (60, 40, 3) == (*picture_size(path), 3)
        assert np.abs(image.astype(int) - np.rot90(pixels, -1)).mean() < 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_block_leaves_the_picture_as_it_is_stored(tmp_path, pixels, suffix, broken):
    path = save(tmp_path, suffix, pixels, BROKEN[broken])
    image = read_picture(path)
    assert image.shape == pixels.shape and picture_size(path) == pixels.shape[:2]
    assert np.abs(image.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize("orientation", TURNED)
def test_all_orientations(tmp_path, pixels, orientation):
    path = save(tmp_path, "png", pixels, exif(orientation))
    assert np.array_equal(read_picture(path), TURNED[orientation](pixels))
    assert picture_size(path) == TURNED[orientation](pixels).shape[:2]


@pytest.mark.parametrize("orientation", TURNED)
def test_a_tiff_is_turned_whatever_its_other_directories_are(tmp_path, pixels, orientation):
    path = tmp_path / "picture.tif"
    tags = {0x0112: orientation, 0x8769: 4_000_000_000, GPS: 3}  # directories that are not there
    Image.fromarray(pixels).save(path, tiffinfo=tags)
    assert np.array_equal(read_picture(path), TURNED[orientation](pixels))
    assert picture_size(path) == TURNED[orientation](pixels).shape[:2]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_an_avif_with_odd_exif_is_read(tmp_path, pixels):
    # Orientation 6 without AVIF's own turn: Pillow would write the block anew, and fail.
    path = tmp_path / "picture.avif"
    plain = (0x0113, SHORT, 1, b"\6\0"), (0x9000, 7, 4, struct.pack("<f", 1.5))
    odd = (0x0112, SHORT, 1, b"\6\0"), (0x9000, FLOAT, 1, struct.pack("<f", 1.5))
    before, after = (b"II*\0\x08\0\0\0" + directory(8, list(tags)) for tags in (plain, odd))
    Image.fromarray(pixels).save(path, quality=90, speed=10, exif=before)
    data = path.read_bytes()
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, after))
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)
    image = read_picture(path)
    # AVIF is turned as its own boxes say, not as EXIF does (ISO/IEC 23000-22, section 7).
    assert image.shape == pixels.shape
    assert np.abs(image.astype(int) - pixels).mean() < 8


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_an_avif_whose_exif_is_none_is_read(tmp_path, pixels):
    path = tmp_path / "picture.avif"
    block = b"II*\0\x08\0\0\0" + directory(8, [(0x0113, SHORT, 1, b"\6\0")])
    Image.fromarray(pixels).save(path, quality=90, speed=10, exif=block)
    data = path.read_bytes()
    assert data.count(block) == 1
    for rubbish in (b"XX*\0" + block[4:], bytes(len(block)), b"\xff" * len(block)):
        path.write_bytes(data.replace(block, rubbish))
        assert np.abs(read_picture(path).astype(int) - pixels).mean() < 8
        assert picture_size(path) == pixels.shape[:2]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("kind", [1, 7], ids=["byte", "undefined"])
def test_an_orientation_of_one_byte_counts(tmp_path, pixels, suffix, kind):
    block = b"II*\0\x08\0\0\0" + directory(8, [(0x0112, kind, 1, b"\6")])
    path = save(tmp_path, suffix, pixels, block)
    assert read_picture(path).shape == (60, 40, 3) == (*picture_size(path), 3)


@pytest.mark.parametrize("orientation", [6, 8])
def test_a_block_behind_the_pixels_of_a_png_counts(tmp_path, pixels, orientation):
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    data, body = path.read_bytes(), b"eXIf" + exif(orientation)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end = data.index(b"IEND") - 4
    path.write_bytes(data[:end] + chunk + data[end:])
    assert picture_size(path) == TURNED[orientation](pixels).shape[:2]
    assert np.array_equal(read_picture(path), TURNED[orientation](pixels))
