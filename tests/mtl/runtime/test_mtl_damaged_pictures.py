"""Damaged files, also those that decoders fill in: left out with a reason; whole ones never."""

import io
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from mtl.curation.photograph import read_photograph
from mtl.runtime.files import InputError
from mtl.runtime.pictures import picture_size, read_picture
from mtl.runtime.pictures.jpeg_integrity import check_jpeg
from mtl.runtime.pictures.jpeg_segments import MARKER

BASELINE, PROGRESSIVE = {"quality": 80}, {"quality": 80, "progressive": True}
KINDS = {
    "baseline": BASELINE,
    "progressive": PROGRESSIVE,
    "restarts": BASELINE | {"restart_marker_rows": 1},
    "progressive restarts": PROGRESSIVE | {"restart_marker_rows": 1},
    "full colour": BASELINE | {"subsampling": 0},
}
MODES = ("RGB", "L", "CMYK")


@pytest.fixture
def picture(sample) -> Image.Image:
    return Image.fromarray(sample["flower"][100:260, 200:400])


def encoded(picture: Image.Image, kind: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def zeroed(data: bytes, start: float, end: float) -> bytes:
    first, last = int(start * len(data)), int(end * len(data))
    return data[:first] + bytes(last - first) + data[last:]


def refused(folder, data: bytes, suffix: str = "jpg") -> str:
    """The reason for which both readers refuse a file's bytes."""
    path = folder / f"damaged.{suffix}"
    path.write_bytes(data)
    for read in (read_photograph, read_picture):
        with pytest.raises(InputError, match=rf"damaged\.{suffix}: ") as raised:
            read(path)
        assert "\n" not in str(raised.value)
    return str(raised.value)


def without_scans(data: bytes, kept: int) -> bytes:
    """A progressive JPEG with its first scans and an end marker."""
    starts = [found.start() for found in MARKER.finditer(data) if found.group(1) == b"\xda"]
    assert kept < len(starts)
    return data[: starts[kept]] + b"\xff\xd9"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_jpeg_is_read_as_pillow_reads_it(tmp_path, picture, kind, mode):
    data = encoded(picture.convert(mode), **KINDS[kind])
    path = tmp_path / "whole.jpg"
    # Telephones keep further pictures behind the end marker.
    for trailer in (b"", b"\0" * 900, b"SEFT\xff\xd8\xff\xda\0\x02 trailer" * 30, data):
        path.write_bytes(data + trailer)
        with Image.open(path) as by_pillow:
            assert np.array_equal(read_picture(path), np.asarray(by_pillow.convert("RGB")))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_jpeg_is_refused(tmp_path, picture, kind, mode):
    data = encoded(picture.convert(mode), **KINDS[kind])
    for damaged in (
        zeroed(data, 0.5, 1),
        zeroed(data, 0.5, 1)[:-2] + b"\xff\xd9",
        zeroed(data, 0.6, 0.7),
        data[:-2],
        data[: len(data) // 2] + b"\xff\xd9",
        data[: len(data) // 2],
    ):
        assert "damaged" in refused(tmp_path, damaged)


def test_a_damaged_jpeg_larger_than_pillows_buffer_is_refused(tmp_path, sample):
    # Pillow reads 64 KiB at a time and notices a missing end by chance only.
    data = encoded(Image.fromarray(sample["china"]), quality=97)
    assert len(data) > 2 * ImageFile.MAXBLOCK
    assert "Premature end" in refused(tmp_path, zeroed(data, 0.5, 1))


@pytest.mark.parametrize("kept", [1, 3, 5])
def test_lost_scans_with_an_end_marker_are_refused(tmp_path, picture, kept):
    data = encoded(picture, **PROGRESSIVE)
    check_jpeg(data)
    assert "colour components are missing" in refused(tmp_path, without_scans(data, kept))


def test_lost_scans_are_refused_whatever_the_thumbnail_holds(tmp_path, picture):
    thumbnail = encoded(picture.resize((40, 32)))
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x0201, 4, 1, 26, 0) + thumbnail
    whole = encoded(picture, exif=block, **PROGRESSIVE)
    assert thumbnail in whole
    (tmp_path / "whole.jpg").write_bytes(whole)
    assert read_picture(tmp_path / "whole.jpg").shape == (160, 200, 3)
    starts = [found.start() for found in MARKER.finditer(whole) if found.group(1) == b"\xda"]
    assert "missing" in refused(tmp_path, whole[: starts[-4]] + b"\xff\xd9")


def test_scans_of_components_alone_are_complete_only_together():
    """A sequential file of three scans, as some scanners write; coefficients are all zero."""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 8, 8, 3)
    frame += b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    table = b"\xff\xdb\0\x43\0" + bytes([1] * 64)
    codes = b"".join(
        b"\xff\xc4\0\x14" + bytes([kind]) + bytes([1]) + bytes(15) + b"\0" for kind in (0, 0x10)
    )
    scans = [b"\xff\xda\0\x08\1" + bytes([number, 0, 0, 63, 0]) + b"\x3f" for number in (1, 2, 3)]
    start = b"\xff\xd8" + table + frame + codes
    check_jpeg(start + b"".join(scans) + b"\xff\xd9")
    with pytest.raises(ValueError, match="1 of 3 colour components"):
        check_jpeg(start + b"".join(scans[:2]) + b"\xff\xd9")


def plain_jpeg(frame: int, factors: bytes, scan: bytes, length: int) -> bytes:
    """A JPEG of 64 x 32 pixels whose every code is zero bits; `length` bytes of them."""
    size = struct.pack(">BHHB", 8, 32, 64, len(factors))
    parts = b"".join(bytes([k, f, 0]) for k, f in enumerate(factors, 1))
    data = b"\xff\xd8\xff\xdb\0\x43\0" + bytes([1] * 64)
    data += bytes([0xFF, frame]) + struct.pack(">H", 2 + len(size + parts)) + size + parts
    for kind in (0, 0x10):
        data += b"\xff\xc4\0\x14" + bytes([kind]) + bytes([1]) + bytes(15) + b"\0"
    header = bytes([len(factors)]) + b"".join(bytes([k + 1, 0]) for k in range(len(factors))) + scan
    return data + b"\xff\xda" + struct.pack(">H", 2 + len(header)) + header + bytes(length)


BLOCKS = b"\0\x3f\0"
ODD_KINDS = {  # frame, sampling factors, parameters of the scan, bits of all codes
    "4:1:0": (0xC0, b"\x42\x11\x11", BLOCKS, 4 * 10 * 2),
    "3:1:1": (0xC0, b"\x31\x11\x11", BLOCKS, 12 * 5 * 2),
    "4:4:1": (0xC0, b"\x14\x11\x11", BLOCKS, 8 * 6 * 2),
    "lossless": (0xC3, b"\x11\x11\x11", b"\1\0\0", 64 * 32 * 3),
}


@pytest.mark.parametrize("kind", ODD_KINDS)
def test_rare_kinds_of_jpeg_are_read_and_refused_where_cut(tmp_path, kind):
    *start, bits = ODD_KINDS[kind]
    path = tmp_path / "odd.jpg"
    path.write_bytes(plain_jpeg(*start, bits // 8) + b"\xff\xd9")
    assert np.ptp(read_picture(path)) == 0 and picture_size(path) == (32, 64)
    assert "damaged" in refused(tmp_path, plain_jpeg(*start, bits // 16) + b"\xff\xd9")


def with_segment(data: bytes, marker: int, body: bytes) -> bytes:
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body + data[2:]


HARMLESS = {  # what libjpeg warns of though no pixel depends on it
    "JFIF version": lambda data: data[:11] + b"\x05\x07" + data[13:],
    "Adobe transform": lambda data: with_segment(data, 0xEE, b"Adobe\0\x64" + bytes(4) + b"\x09"),
    "colour profile": lambda data: with_segment(data, 0xE2, b"ICC_PROFILE\0\x05\x02rubbish"),
    "scan parameters": lambda data: data.replace(BLOCKS, bytes(3), 1),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_harmless_warning_hides_no_damage(tmp_path, picture, kind):
    data = HARMLESS[kind](encoded(picture))
    assert data != encoded(picture)
    (tmp_path / "whole.jpg").write_bytes(data)
    assert read_picture(tmp_path / "whole.jpg").shape == (160, 200, 3)
    for damaged in (
        data[: len(data) // 2] + b"\xff\xd9",
        zeroed(data, 0.5, 1)[:-2] + b"\xff\xd9",
        zeroed(data, 0.6, 0.7),
    ):
        assert "damaged" in refused(tmp_path, damaged)


def test_zeros_among_the_refinements_of_a_progressive_file_are_no_hole(tmp_path, sample):
    image = sample["flower"][:160, :200].copy()
    image[:80] = (np.arange(80) // 4 % 2 * 255)[:, None, None]
    data = encoded(Image.fromarray(image), quality=98, progressive=True)
    assert bytes(64) in data
    check_jpeg(data)


def test_zeros_in_front_of_the_end_marker_are_no_damage(tmp_path, picture):
    data = encoded(picture)
    (tmp_path / "padded.jpg").write_bytes(data[:-2] + bytes(100) + data[-2:])
    with Image.open(io.BytesIO(data)) as by_pillow:
        assert np.array_equal(read_picture(tmp_path / "padded.jpg"), np.asarray(by_pillow))
    assert "damaged" in refused(tmp_path, data[:-40] + bytes(38) + data[-2:])


@pytest.mark.parametrize(
    ("frame", "body", "named"),
    [
        (0xC1, struct.pack(">BHHB", 12, 32, 64, 1) + b"\1\x11\0", "JPEG of 12 bits"),
        (0xF7, struct.pack(">BHHB", 8, 32, 64, 1) + b"\1\x11\0", "JPEG-LS"),
        (0xC0, struct.pack(">BHHB", 8, 0, 64, 1) + b"\1\x11\0", "its height behind its pixels"),
    ],
)
def test_kinds_of_jpeg_that_are_not_read_are_not_called_damaged(tmp_path, frame, body, named):
    start = with_segment(b"\xff\xd8\xff\xd9", frame, body)
    reason = refused(tmp_path, start)
    assert named in reason and "damaged" not in reason.removeprefix(str(tmp_path / "damaged"))


@pytest.mark.parametrize("options", [{}, {"optimize": True}], ids=["plain", "optimised"])
@pytest.mark.parametrize("damage", [(0.5, 1), (0.95, 1), (0.5, 0.52)])
def test_a_damaged_png_is_refused(tmp_path, picture, options, damage):
    data = encoded(picture, "PNG", **options)
    refused(tmp_path, zeroed(data, *damage), "png")
    for cut in (data[: len(data) // 2], data[:-12], data[:-1]):
        assert "truncated" in refused(tmp_path, cut, "png")
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    assert "checksum" in refused(tmp_path, bytes(flipped), "png")
    (tmp_path / "whole.png").write_bytes(data + b"trailer")
    assert np.array_equal(read_picture(tmp_path / "whole.png"), np.asarray(picture))


TIFFS = {
    "raw": {},
    "deflate": {"compression": "tiff_adobe_deflate"},
    "lzw": {"compression": "tiff_lzw"},
    "jpeg": {"compression": "jpeg"},
}


@pytest.mark.parametrize("kind", TIFFS)
def test_a_damaged_tiff_is_refused(tmp_path, picture, kind):
    data = encoded(picture, "TIFF", **TIFFS[kind])
    refused(tmp_path, data[: len(data) // 2], "tif")
    if kind != "raw":  # without compression any bytes are pixels
        refused(tmp_path, zeroed(data, 0.5, 1), "tif")
    if kind in ("deflate", "jpeg"):
        assert "damaged" in refused(tmp_path, zeroed(data, 0.4, 0.5), "tif")
    (tmp_path / "whole.tif").write_bytes(data)
    with Image.open(tmp_path / "whole.tif") as by_pillow:
        assert np.array_equal(read_picture(tmp_path / "whole.tif"), np.asarray(by_pillow))


@pytest.mark.skipif(sys.platform != "linux", reason="libtiff is quietened on Linux alone")
@pytest.mark.parametrize("compression", ["tiff_lzw", "lzma", "zstd"])
def test_libtiff_prints_nothing(tmp_path, picture, compression, capfd):
    data = encoded(picture, "TIFF", compression=compression)
    assert "not read" in refused(tmp_path, zeroed(data, 0.2, 0.8), "tif")
    assert capfd.readouterr() == ("", "")


def test_jpeg_in_tiff_that_libtiff_decodes_to_anything_is_refused(tmp_path, picture):
    data = encoded(picture, "TIFF", compression="jpeg")
    for place in range(len(data) // 8, len(data) - len(data) // 4, len(data) // 8):
        refused(tmp_path, data[:place] + b"\xff" * 200 + data[place + 200 :], "tif")


@pytest.mark.parametrize("kind", ["BMP", "PPM", "WEBP", "PNG", "TIFF"])
def test_a_truncated_file_is_refused(tmp_path, picture, kind):
    data = encoded(picture, kind)
    for share in (0.05, 0.5, 0.99):
        refused(tmp_path, data[: int(share * len(data))], kind.lower())


def test_lossy_webp_with_a_hole_is_refused_and_flat_colour_is_not(tmp_path, picture):
    assert "zeros" in refused(tmp_path, zeroed(encoded(picture, "WEBP"), 0.5, 1), "webp")
    flat = Image.new("RGB", (1600, 1200), "white")  # codes to 4 % zeros at the end
    flat.paste(picture, (0, 0))
    (tmp_path / "flat.webp").write_bytes(encoded(flat, "WEBP"))
    assert read_picture(tmp_path / "flat.webp").shape == (1200, 1600, 3)


@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"\xaa"])
@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_one_byte_again_and_again_inside_compressed_data_is_refused(tmp_path, picture, kind, byte):
    if not features.check(kind.lower()):
        pytest.skip(f"this Pillow reads no {kind}")
    data = encoded(picture, kind, quality=80)
    for place in (0.4, 0.7):
        at, length = int(place * len(data)), 400
        damaged = data[:at] + byte * length + data[at + length :]
        refused(tmp_path, damaged, kind.lower())


@pytest.mark.parametrize("method", [0, 4])
@pytest.mark.parametrize("colour", ["black", "white", "grey", "red"])
def test_flat_webp_is_read(tmp_path, picture, colour, method):
    flat = Image.new("RGB", (512, 384), colour)
    for paste in (False, True):
        if paste:
            flat.paste(picture, (0, 200))
        (tmp_path / "flat.webp").write_bytes(encoded(flat, "WEBP", quality=100, method=method))
        assert read_picture(tmp_path / "flat.webp").shape == (384, 512, 3)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("start", [0.5, 0.95])
def test_an_avif_with_a_hole_is_refused(tmp_path, picture, start):
    data = encoded(picture, "AVIF", quality=90, speed=10)
    refused(tmp_path, zeroed(data, start, 1), "avif")
    refused(tmp_path, data[:-1], "avif")
    refused(tmp_path, zeroed(data, start, 1), "jpg")  # the name says nothing
    (tmp_path / "whole.avif").write_bytes(data + b"\0" * 200)
    assert read_picture(tmp_path / "whole.avif").shape == (160, 200, 3)


def test_heic_is_read_or_named_with_the_remedy(tmp_path, picture):
    start = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic"
    reason = refused(tmp_path, start + bytes(100), "heic")
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        assert "pip install 'deepfl-iqa[heic]'" in reason
        return
    data = encoded(picture, "HEIF", quality=90)
    (tmp_path / "whole.heic").write_bytes(data)
    assert picture_size(tmp_path / "whole.heic") == (160, 200)
    image = read_picture(tmp_path / "whole.heic").astype(int)
    assert np.abs(image - np.asarray(picture)).mean() < 5
    assert "zeros" in refused(tmp_path, zeroed(data, 0.9, 1), "heic")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("decoder"),
        TypeError("int() argument\nmust be"),
        struct.error("unpack requires 4 bytes"),
        zlib.error("Error -3"),
        KeyError(7),
        MemoryError(),
        Image.DecompressionBombError("too large"),
        AssertionError(),
        RecursionError("depth"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["open", "load"])
def test_whatever_a_decoder_raises_is_about_the_file(tmp_path, picture, monkeypatch, error, where):
    path = tmp_path / "odd.bmp"
    picture.save(path)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Image if where == "open" else ImageFile.ImageFile, where, fail)
    with pytest.raises(InputError, match=r"odd\.bmp: cannot be decoded \(.+\)") as raised:
        read_picture(path)
    assert "\n" not in str(raised.value) and raised.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_no_damage(tmp_path, picture, monkeypatch, error):
    picture.save(tmp_path / "p.bmp")

    def interrupted(*_):
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", interrupted)
    with pytest.raises(error):
        read_picture(tmp_path / "p.bmp")


def test_faults_of_our_own_are_not_taken_for_damage(tmp_path, picture, monkeypatch):
    picture.save(tmp_path / "p.png")
    monkeypatch.setattr("mtl.runtime.pictures.reading._pixels", lambda picture: [][1])
    with pytest.raises(IndexError):
        read_picture(tmp_path / "p.png")


def test_absurd_sizes_in_a_header_are_refused(tmp_path):
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**30, 2**30, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    refused(tmp_path, data, "png")
    with pytest.raises(InputError):
        picture_size(tmp_path / "damaged.png")


def test_cameras_of_200_megapixels_are_read(tmp_path):
    def header(width: int, height: int) -> bytes:
        return b"P5 %d %d 255\n" % (width, height)

    (tmp_path / "p.pgm").write_bytes(header(16320, 12240))
    assert picture_size(tmp_path / "p.pgm") == (12240, 16320)
    assert "over 500 megapixels" in refused(tmp_path, header(25000, 20001), "pgm")


def test_formats_that_are_no_photographs_are_not_opened(tmp_path, picture):
    for kind in ("EPS", "PDF", "JPEG2000"):
        reason = refused(tmp_path, encoded(picture, kind), "png")
        assert "is of a kind that is not read; convert it to PNG" in reason
    for kind in ("ICO", "SGI"):
        assert "is not a picture" in refused(tmp_path, encoded(picture, kind), "png")


def test_warnings_do_not_leak_from_threads(tmp_path, picture):
    path = tmp_path / "palette.png"
    picture.convert("P").save(path, transparency=b"\0\1\2")  # Pillow warns when it is converted
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(read_picture, [path] * 64))
        assert warnings.filters == before
    assert not caught and "PIL" in sys.modules
