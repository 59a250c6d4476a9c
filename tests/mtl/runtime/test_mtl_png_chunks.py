"""PNG files: faults of chunks on which no pixel depends, and pixels that end early."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mtl.curation.photograph import read_photograph
from mtl.runtime.files import InputError
from mtl.runtime.pictures import picture_size, read_picture
from mtl.runtime.pictures.png_chunks import PNG_START, check_png, chunks

BEFORE_PIXELS = len(PNG_START) + 12 + 13


def chunk(name: bytes, body: bytes, fault: int = 0) -> bytes:
    checksum = zlib.crc32(name + body) ^ fault
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


TEXT = b"workflow\0\1\0\0\0" + zlib.compress(b"prompt " * 300_000)
FAULTS = {
    "two megabytes of text": chunk(b"iTXt", TEXT),
    "sixty megabytes of text": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000_000))),
    "large profile": chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2_000_000))),
    "wrong checksum of a text": chunk(b"tEXt", b"a\0bc", fault=1),
    "text of an unknown method": chunk(b"zTXt", b"Raw profile type exif\0\7abc"),
    "malformed profile": chunk(b"iCCP", b"no end of its name"),
    "profile of an unknown method": chunk(b"iCCP", b"icc\0\7abc"),
    "malformed animation": chunk(b"acTL", b"\0\0"),
    "malformed frame": chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", b"\0\0"),
    "wrong checksum of EXIF": chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0", fault=1),
    **{name: chunk(name.encode(), b"") for name in ("gAMA", "pHYs", "cHRM", "sRGB")},
}


@pytest.fixture
def pixels(sample) -> np.ndarray:
    return sample["chelsea"][100:150, 100:170]


def png(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_metadata_cost_no_picture(tmp_path, pixels, fault, place):
    data = png(pixels)
    at = BEFORE_PIXELS if place == "before" else len(data) - 12
    path = tmp_path / "p.png"
    path.write_bytes(data[:at] + FAULTS[fault] + data[at:])
    assert np.array_equal(read_picture(path), pixels)
    assert picture_size(path) == pixels.shape[:2]
    if "profile" in fault:
        with pytest.raises(InputError, match="its colour profile"):
            read_photograph(path)
    else:
        assert np.array_equal(read_photograph(path), pixels)


def test_texts_and_blocks_that_say_how_a_picture_is_turned_count(tmp_path, pixels):
    data, path = png(pixels), tmp_path / "p.png"
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x0112, 3, 1, 6, 0)
    hexadecimal = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    xmp = b'<x tiff:Orientation="6"/>'
    for turn in (
        chunk(b"eXIf", block[6:]),
        chunk(b"tEXt", b"Raw profile type exif\0" + hexadecimal),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexadecimal)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
    ):
        for at in (BEFORE_PIXELS, len(data) - 12):
            path.write_bytes(data[:at] + turn + data[at:])
            assert np.array_equal(read_picture(path), np.rot90(pixels, -1))
            assert picture_size(path) == (70, 50)


def test_the_size_is_read_without_the_pixels(tmp_path, pixels, monkeypatch):
    (tmp_path / "p.png").write_bytes(png(pixels))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda picture: 1 / 0)
    assert picture_size(tmp_path / "p.png") == pixels.shape[:2]


def repacked(data: bytes, change) -> bytes:
    """The same file with other compressed pixels in one chunk, its checksum right."""
    packed = b"".join(data[c.start : c.end] for c in chunks(data) if c.name == b"IDAT")
    start = next(c.start - 8 for c in chunks(data) if c.name == b"IDAT")
    return data[:start] + chunk(b"IDAT", change(packed)) + data[-12:]


def rows(share: float):
    """Keep a share of the rows' bytes."""

    def change(packed: bytes) -> bytes:
        raw = zlib.decompress(packed)
        return zlib.compress(raw[: int(share * len(raw))])

    return change


def test_pixels_that_end_early_or_make_no_sense_are_refused(tmp_path, pixels):
    data, path = png(pixels), tmp_path / "p.png"
    for change in (
        rows(0.5),
        rows(0.999),
        lambda packed: packed[: len(packed) // 2],
        lambda packed: packed[: len(packed) // 2] + bytes(len(packed) // 2),
        lambda packed: packed[:-4] + b"\0\0\0\0",
    ):
        path.write_bytes(repacked(data, change))
        for read in (read_picture, read_photograph):
            with pytest.raises(InputError, match="damaged"):
                read(path)
    for change in (rows(1), lambda packed: packed[:-4]):
        path.write_bytes(repacked(data, change))
        assert np.array_equal(read_picture(path), pixels)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4, 5), (9, 9), (33, 18)])
@pytest.mark.parametrize(("colour", "depth"), [(0, 1), (0, 16), (2, 8), (3, 2), (4, 8), (6, 16)])
@pytest.mark.parametrize("interlaced", [0, 1])
def test_the_length_of_the_pixels_is_the_one_of_the_header(size, colour, depth, interlaced):
    width, height = size
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if interlaced:  # as the specification draws them
        grid = np.array([[int(c) for c in row] for row in SEVEN_PASSES])
        tiled = np.tile(grid, (5, 5))[:height, :width]
        passes = [np.argwhere(tiled == k) for k in range(1, 8)]
        shapes = [[len(set(part[:, k])) for k in (0, 1)] for part in passes if len(part)]
    else:
        shapes = [[height, width]]
    length = sum(count * (1 + -(-columns * bits // 8)) for count, columns in shapes)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))

    def of(number: int) -> bytes:
        return (
            PNG_START + header + chunk(b"IDAT", zlib.compress(bytes(number))) + chunk(b"IEND", b"")
        )

    check_png(of(length))
    with pytest.raises(ValueError, match="its pixels have"):
        check_png(of(length - 1))


SEVEN_PASSES = (
    *("16462646", "77777777", "56565656", "77777777"),
    *("36463646", "77777777", "56565656", "77777777"),
)
