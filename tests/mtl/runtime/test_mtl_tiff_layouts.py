"""TIFF's layouts against the pixels that were stored: read right, or refused with the reason."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from mtl.curation.photograph import read_photograph
from mtl.runtime.files import InputError
from mtl.runtime.pictures import picture_size, read_picture

PLAIN, TILES, DEFLATE = {}, {"tile": (32, 32)}, {"compression": "zlib"}
WAYS = {"strips": PLAIN, "tiles": TILES, "deflate": DEFLATE}


@pytest.fixture
def colour(sample) -> np.ndarray:
    return sample["astronaut"][100:164, 100:180]


@pytest.fixture
def grey(colour) -> np.ndarray:
    return colour[..., 1]


def deep(image: np.ndarray, bits: int = 16) -> np.ndarray:
    """The same picture with more or fewer bits."""
    return np.round(image.astype(np.float64) * ((1 << bits) - 1) / 255)


def check(path, expected: np.ndarray, tolerance: int = 0) -> None:
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    for image in (read_picture(path), read_photograph(path)):
        assert np.abs(image.astype(int) - expected).max() <= tolerance
    assert picture_size(path) == expected.shape[:2]


def grey_tiff(path, values: np.ndarray, bits: int, photometric, *, order="<", more=None, **tags):
    """Write grey pixels of any number of bits as the one strip of a TIFF."""
    compression = tags.pop("compression", 1)
    rows = ["".join(format(int(v), f"0{bits}b") for v in row) for row in values]
    rows = [row + "0" * (-len(row) % 8) for row in rows]
    strip = b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)
    strip = zlib.compress(strip) if compression == 8 else strip
    strip += b"\0" * (len(strip) % 2)
    height, width = values.shape
    entries = {
        **{256: width, 257: height, 258: bits, 259: compression, 262: photometric, 273: 8},
        **{277: 1, 278: height, 279: len(strip)},
        **({339: tags["sample_format"]} if "sample_format" in tags else {}),
        **(more or {}),
    }
    entries = {tag: value for tag, value in entries.items() if value is not None}
    start = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(strip))
    table = struct.pack(order + "H", len(entries))
    for tag, value in sorted(entries.items()):
        table += struct.pack(order + "HHII", tag, 4, 1, value)  # type 4: LONG
    path.write_bytes(start + strip + table + b"\0" * 4)


TURNED = {  # by EXIF's orientation
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: np.rot90(image, 2),
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image, 1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("way", ["strips", "deflate"])
@pytest.mark.parametrize("kind", ["grey", "deep grey", "palette", "alpha", "inks"])
def test_every_layout_is_turned(tmp_path, colour, grey, kind, way, orientation):
    stored, photometric, more, expected = {
        "grey": (grey, "minisblack", {}, grey),
        "deep grey": (deep(grey).astype(np.uint16), "minisblack", {}, grey),
        "palette": (
            *(255 - grey, "palette"),
            {"colormap": np.tile(np.arange(255, -1, -1, dtype=np.uint16) * 257, (3, 1))},
            grey,
        ),
        "alpha": (
            *(np.dstack([colour, np.full_like(grey, 255)]), "rgb"),
            *({"extrasamples": ["unassalpha"]}, colour),
        ),
        "inks": (np.dstack([255 - colour, np.zeros_like(grey)]), "separated", {}, colour),
    }[kind]
    tifffile.imwrite(
        tmp_path / "t.tif",
        stored,
        photometric=photometric,
        extratags=[(274, 3, 1, orientation, True)],
        **more,
        **WAYS[way],
    )
    turned = TURNED[orientation](expected)
    turned = turned if turned.ndim == 3 else np.repeat(turned[..., None], 3, axis=2)
    assert np.array_equal(read_picture(tmp_path / "t.tif"), turned)
    assert picture_size(tmp_path / "t.tif") == turned.shape[:2]


@pytest.mark.parametrize("way", WAYS)
def test_associated_alpha_is_divided_out(tmp_path, colour, grey, way):
    path = tmp_path / "a.tif"
    for stored, photometric in ((colour, "rgb"), (grey[..., None], "minisblack")):
        opaque = np.concatenate([stored, np.full_like(grey, 255)[..., None]], axis=2)
        options = {"photometric": photometric, "extrasamples": ["assocalpha"], **WAYS[way]}
        tifffile.imwrite(path, opaque, planarconfig="contig", **options)
        check(path, stored if stored.shape[2] == 3 else stored[..., 0])
        half = np.concatenate([stored // 2, np.full_like(grey, 127)[..., None]], axis=2)
        tifffile.imwrite(path, half, planarconfig="contig", **options)
        assert np.abs(read_picture(path).astype(int) - stored).max() <= 2
        with pytest.raises(InputError, match="partly transparent"):
            read_photograph(path)


@pytest.mark.parametrize("compression", [1, 8], ids=["raw", "deflate"])
@pytest.mark.parametrize("photometric", [0, 1], ids=["white is zero", "black is zero"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14])
def test_grey_of_any_depth_is_right_or_refused(
    tmp_path, grey, bits, order, photometric, compression
):
    values = deep(grey, bits)
    expected = np.round(values * 255 / ((1 << bits) - 1))
    stored = values if photometric else (1 << bits) - 1 - values
    path = tmp_path / "grey.tif"
    grey_tiff(path, stored, bits, photometric, order=order, compression=compression)
    if bits <= 8 or (bits == 12 and order == "<" and photometric == 1):
        check(path, expected)
    else:  # Pillow knows no such layout
        with pytest.raises(InputError, match=rf"grey\.tif: is a TIFF .*\({bits} bits, .* as 8-bit"):
            read_picture(path)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("photometric", ["miniswhite", "minisblack"])
@pytest.mark.parametrize("bits", [8, 16])
def test_white_is_white(tmp_path, grey, bits, photometric, way):
    values = deep(grey, bits)
    stored = values if photometric == "minisblack" else (1 << bits) - 1 - values
    stored = stored.astype(f"uint{bits}")
    tifffile.imwrite(tmp_path / "g.tif", stored, photometric=photometric, **WAYS[way])
    check(tmp_path / "g.tif", grey)


def test_big_endian_and_big_tiff(tmp_path, grey, colour):
    tifffile.imwrite(tmp_path / "grey.tif", deep(grey).astype(">u2"), byteorder=">")
    tifffile.imwrite(tmp_path / "rgb.tif", colour, bigtiff=True, photometric="rgb")
    check(tmp_path / "grey.tif", grey)
    check(tmp_path / "rgb.tif", colour)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_in_planes_or_interleaved(tmp_path, colour, channels, bits, planes, way):
    opaque = np.full_like(colour[..., :1], 255)
    stored = np.concatenate([colour, opaque][: channels - 2], axis=2)
    stored = deep(stored, bits).astype(f"uint{bits}")
    if planes == "separate":
        stored = np.moveaxis(stored, -1, 0).copy()
    alpha = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(
        tmp_path / "c.tif", stored, photometric="rgb", planarconfig=planes, **alpha, **WAYS[way]
    )
    check(tmp_path / "c.tif", colour)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("bits", [8, 16])
def test_inks(tmp_path, colour, planes, bits):
    inks = 255 - np.concatenate([colour, np.full_like(colour[..., :1], 255)], axis=2)
    stored = deep(inks, bits).astype(f"uint{bits}")
    stored = np.moveaxis(stored, -1, 0).copy() if planes == "separate" else stored
    tifffile.imwrite(tmp_path / "k.tif", stored, photometric="separated", planarconfig=planes)
    assert np.array_equal(read_picture(tmp_path / "k.tif"), colour)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_deep_planes_are_turned(tmp_path, colour, orientation):
    stored = np.moveaxis(deep(colour).astype(np.uint16), -1, 0).copy()
    turn = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(
        tmp_path / "t.tif", stored, photometric="rgb", planarconfig="separate", extratags=turn
    )
    turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    check(tmp_path / "t.tif", np.rot90(colour, turns))


def test_sixteen_bit_colour_keeps_the_upper_eight_bits(tmp_path, colour):
    values = (colour.astype(np.uint16) << 8) + 200
    for planes, stored in (("contig", values), ("separate", np.moveaxis(values, -1, 0).copy())):
        tifffile.imwrite(tmp_path / "c.tif", stored, photometric="rgb", planarconfig=planes)
        check(tmp_path / "c.tif", colour)


def test_palettes_and_the_first_of_several_pages(tmp_path, grey, colour):
    backwards = np.tile(np.arange(255, -1, -1, dtype=np.uint16) * 257, (3, 1))
    tifffile.imwrite(tmp_path / "p.tif", 255 - grey, photometric="palette", colormap=backwards)
    check(tmp_path / "p.tif", grey)
    tifffile.imwrite(tmp_path / "pages.tif", np.stack([colour, 255 - colour]), photometric="rgb")
    check(tmp_path / "pages.tif", colour)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "uint32", "float32", "float64"])
def test_pixels_without_a_fixed_white_are_refused(tmp_path, grey, colour, kind, photometric):
    image = colour if photometric == "rgb" else grey
    stored = (image.astype(np.float64) / 2).astype(kind)
    tifffile.imwrite(tmp_path / "n.tif", stored, photometric=photometric)
    named = {"i": "signed integers", "u": "32.bit|32 bits", "f": "floating point"}[kind[0]]
    for read in (read_picture, read_photograph):
        with pytest.raises(InputError, match=rf"n\.tif: .*({named}).*; save it as"):
            read(tmp_path / "n.tif")


def test_lab_and_subsampled_ycbcr_are_refused(tmp_path, colour):
    tifffile.imwrite(tmp_path / "lab.tif", colour, photometric="cielab")
    with pytest.raises(InputError, match=r"lab\.tif: .* CIE L\*a\*b\*, .* save it as RGB"):
        read_picture(tmp_path / "lab.tif")
    subsampled = [(530, 3, 2, (2, 2), True)]
    for name, tags in (("named", subsampled), ("default", ())):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, colour, photometric="rgb", extratags=tags)
        data = bytearray(path.read_bytes())
        place = data.index(struct.pack("<HHIH", 262, 3, 1, 2))
        data[place + 8] = 6  # YCbCr
        path.write_bytes(data)
        with pytest.raises(InputError, match="subsampled YCbCr"):
            read_picture(path)


def test_compressed_jpeg_colours_are_read(tmp_path, colour):
    for mode in ("RGB", "YCbCr"):
        Image.fromarray(colour).convert(mode).save(
            tmp_path / "j.tif", compression="jpeg", quality=98
        )
        assert np.abs(read_picture(tmp_path / "j.tif").astype(int) - colour).mean() < 3


def test_jpeg_of_twelve_bits_is_refused(tmp_path, grey):
    path = tmp_path / "j.tif"
    Image.fromarray(grey).save(path, compression="jpeg")
    data = bytearray(path.read_bytes())
    data[data.index(struct.pack("<HHI", 258, 3, 1)) + 8] = 12
    path.write_bytes(data)
    with pytest.raises(InputError, match="12 bits"):
        read_picture(path)


def patched(path, tag: int, values, count: int | None = None) -> None:
    """Overwrite values of a tag, or state another number of them."""
    with tifffile.TiffFile(path) as file:
        found = file.pages.first.tags[tag]
    data = bytearray(path.read_bytes())
    code = {3: "H", 4: "I"}[found.dtype]
    struct.pack_into(f"<{len(values)}{code}", data, found.valueoffset, *values)
    if count is not None:
        struct.pack_into("<I", data, found.offset + 4, count)
    path.write_bytes(data)


@pytest.mark.parametrize("compression", [None, "zlib", "lzma"])
def test_missing_strips_are_refused(tmp_path, colour, compression):
    path, options = tmp_path / "m.tif", {"photometric": "rgb", "rowsperstrip": 10}

    def write() -> list[int]:
        tifffile.imwrite(path, colour, compression=compression, **options)
        with tifffile.TiffFile(path) as file:
            return list(file.pages.first.dataoffsets)

    offsets = write()
    for tag in (273, 279):
        patched(path, tag, [], count=4)
    with pytest.raises(InputError, match="3 of its 7 strips or tiles are missing"):
        read_picture(path)
    write()
    patched(path, 273, [*offsets[:5], 0, 0])  # sparse, as GDAL writes files without data
    patched(path, 279, [0] * 7)
    with pytest.raises(InputError, match="strips or tiles are missing"):
        read_picture(path)
    tifffile.imwrite(path, colour, photometric="rgb", tile=(32, 32))
    check(path, colour)
    for tag in (324, 325):
        patched(path, tag, [], count=5)
    with pytest.raises(InputError, match="1 of its 6 strips or tiles are missing"):
        read_picture(path)


def test_lengths_of_strips_that_are_overstated_or_not_given_do_not_matter(tmp_path, colour):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, colour, photometric="rgb", rowsperstrip=10)
    whole = 10 * colour.shape[1] * 3
    for lengths in ([whole] * 7, [0] * 7, [60_000] * 7):
        patched(path, 279, lengths)
        check(path, colour)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="truncated"):
        read_picture(path)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_one_separate_plane_is_as_good_as_interleaved(tmp_path, grey, bits, photometric, order):
    if (bits, photometric, order) == (16, 0, ">"):
        pytest.skip("Pillow knows no such layout, interleaved or not")
    values = deep(grey, bits)
    stored = values if photometric else (1 << bits) - 1 - values
    if bits == 16 and order == "<":
        stored = stored.astype("<u2").view(">u2")
    grey_tiff(tmp_path / "g.tif", stored, bits, photometric, order=order, more={284: 2})
    check(tmp_path / "g.tif", np.round(values * 255 / ((1 << bits) - 1)))


@pytest.mark.parametrize("bits", [8, 16])
def test_planes_with_associated_alpha(tmp_path, colour, bits):
    path = tmp_path / "a.tif"
    options = {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["assocalpha"]}
    for share in (1, 2):
        alpha = np.full_like(colour[..., :1], 255 // share)
        stored = deep(np.concatenate([colour // share, alpha], axis=2), bits).astype(
            f"u{bits // 8}"
        )
        tifffile.imwrite(path, np.moveaxis(stored, -1, 0).copy(), **options)
        assert np.abs(read_picture(path).astype(int) - colour).max() <= 2 * (share - 1)


def test_grey_and_alpha_in_planes(tmp_path, grey):
    stored = np.stack([grey, np.full_like(grey, 255)])
    options = {"photometric": "minisblack", "planarconfig": "separate"}
    for kind in ("unassalpha", "assocalpha"):
        tifffile.imwrite(tmp_path / "la.tif", stored, extrasamples=[kind], **options)
        check(tmp_path / "la.tif", grey)


def test_a_palette_of_eight_bits(tmp_path, grey):
    backwards = np.tile(np.arange(255, -1, -1, dtype=np.uint16), (3, 1))
    for way in WAYS.values():
        tifffile.imwrite(
            tmp_path / "p.tif", 255 - grey, photometric="palette", colormap=backwards, **way
        )
        check(tmp_path / "p.tif", grey)


def test_what_leaves_colours_unknown_is_refused(tmp_path, colour, grey):
    grey_tiff(tmp_path / "g.tif", grey, 8, None)
    with pytest.raises(InputError, match=r"g\.tif: .*whether zero is black or white; save it as"):
        read_picture(tmp_path / "g.tif")
    inks = np.dstack([colour, grey])
    tifffile.imwrite(
        tmp_path / "k.tif", inks, photometric="separated", extratags=[(332, 3, 1, 2, True)]
    )
    with pytest.raises(InputError, match=r"k\.tif: .*not those of CMYK; save it as RGB"):
        read_picture(tmp_path / "k.tif")


def test_deflated_bits_in_reverse_order(tmp_path, grey):
    path = tmp_path / "f.tif"
    grey_tiff(path, grey, 8, 1, compression=8, more={266: 2})
    data = bytearray(path.read_bytes())
    end = struct.unpack_from("<I", data, 4)[0]
    data[8:end] = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data[8:end])
    path.write_bytes(data)
    check(path, grey)


def test_planes_cut_off_are_refused(tmp_path, colour):
    stored = np.moveaxis(deep(colour).astype(np.uint16), -1, 0).copy()
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig="separate")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"cut\.tif: .*truncated"):
        read_picture(path)


def test_sixteen_bit_png_with_a_clear_level_and_with_gamma(tmp_path, grey):
    values = deep(grey).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "g.png", transparency=int(values[0, 0]))
    assert np.array_equal(read_picture(tmp_path / "g.png")[..., 0], grey)
    with pytest.raises(InputError, match="partly transparent"):
        read_photograph(tmp_path / "g.png")
    Image.fromarray(grey).save(tmp_path / "plain.png")
    data = (tmp_path / "plain.png").read_bytes()
    chunk = b"gAMA" + struct.pack(">I", 100000)
    chunk = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "gamma.png").write_bytes(data[:33] + chunk + data[33:])
    assert np.array_equal(read_picture(tmp_path / "gamma.png")[..., 0], grey)
