"""Decoding for the pristine stage: colour profiles, and every kind of picture by its rule."""

import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from mtl.curation.photograph import read_photograph
from mtl.runtime.files import InputError
from mtl.runtime.pictures import picture_size, read_picture

# Primaries adapted to D50, as columns of R, G, B: of ICC's sRGB profile, of Apple's Display P3.
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
DISPLAY_P3 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(n * 65536) for n in numbers))


def icc(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """The bytes of an ICC profile, version 4."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    header = struct.pack(">I4sI", start + len(body), b"", 0x04000000) + kind + space + connection
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    header += fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + body


def xyz(values) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*values)


def rgb_profile(primaries: np.ndarray) -> bytes:
    curve = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + fixed(*SRGB_CURVE)
    colours = {bytes([c]) + b"XYZ": xyz(primaries[:, k]) for k, c in enumerate(b"rgb")}
    curves = {bytes([c]) + b"TRC": curve for c in b"rgb"}
    white = {b"wtpt": xyz((0.9642, 1, 0.8249))}
    return icc(b"mntr", b"RGB ", b"XYZ ", colours | curves | white)


def linear_grey_profile() -> bytes:
    line = b"curv\0\0\0\0" + struct.pack(">I", 0)
    return icc(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": line, b"wtpt": xyz((0.9642, 1, 0.8249))})


def grey_inks_profile() -> bytes:
    """A press whose four inks are all the same grey: more ink, darker, never a colour."""
    nodes = b""
    for inks in np.ndindex(2, 2, 2, 2):
        nodes += bytes([round(255 * (1 - sum(inks) / 4)), 128, 128])
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += ramp * 4 + nodes + ramp * 3
    return icc(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut, b"wtpt": xyz((0.9642, 1, 0.8249))})


def linear(levels: np.ndarray) -> np.ndarray:
    v = levels / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    v = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return 255 * v


@pytest.fixture
def save(tmp_path):
    def save(picture: Image.Image, name: str, **options):
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def test_without_a_profile_pixels_stay_as_they_are(save, sample):
    path = save(Image.fromarray(sample["chelsea"]), "c.png")
    assert np.array_equal(read_photograph(path), sample["chelsea"])


def test_display_p3_becomes_srgb(save, sample):
    path = save(Image.fromarray(sample["coffee"]), "p3.png", icc_profile=rgb_profile(DISPLAY_P3))
    light = linear(sample["coffee"]) @ (np.linalg.inv(SRGB) @ DISPLAY_P3).T
    image = read_photograph(path)
    assert np.abs(image - encoded(light)).max() <= 2
    assert np.abs(image.astype(int) - sample["coffee"]).max() > 10
    # Everything else of the system reads pixels as they are stored.
    assert np.array_equal(read_picture(path), sample["coffee"])


@pytest.mark.parametrize(
    "profile",
    [rgb_profile(SRGB), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()],
    ids=["sixteen-bit", "lcms"],
)
def test_an_srgb_profile_changes_nothing(save, sample, profile):
    path = save(Image.fromarray(sample["china"]), "s.png", icc_profile=profile)
    assert np.array_equal(read_photograph(path), sample["china"])


def test_grey_goes_through_its_profile(save):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    path = save(Image.fromarray(ramp), "grey.png", icc_profile=linear_grey_profile())
    image = read_photograph(path)
    assert np.abs(image - encoded(ramp / 255)[..., None]).max() <= 1
    deep = save(
        Image.fromarray(ramp.astype(np.uint16) * 257), "deep.png", icc_profile=linear_grey_profile()
    )
    assert np.array_equal(read_photograph(deep), image)


def test_grey_pixels_may_have_an_rgb_profile(save):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    path = save(Image.fromarray(ramp), "grey.png", icc_profile=rgb_profile(DISPLAY_P3))
    assert np.abs(read_photograph(path).astype(int) - ramp[..., None]).max() <= 1


@pytest.mark.parametrize("name", ["cmyk.jpg", "cmyk.tif"])
def test_cmyk_goes_through_its_profile(save, sample, name):
    picture = Image.fromarray(sample["flower"]).convert("CMYK")
    path = save(picture, name, icc_profile=grey_inks_profile())
    image = read_photograph(path).astype(int)
    assert image.shape == sample["flower"].shape
    assert np.ptp(image, axis=2).max() <= 2  # the profile knows of no colour
    assert np.ptp(read_picture(path).astype(int), axis=2).max() > 100
    inks = np.asarray(picture, float).sum(axis=2)
    assert np.corrcoef(inks.ravel(), image[..., 1].ravel())[0, 1] < -0.95


def test_cmyk_without_a_profile_is_rejected(save, sample):
    path = save(Image.fromarray(sample["flower"]).convert("CMYK"), "cmyk.jpg")
    with pytest.raises(InputError, match=r"cmyk\.jpg: is CMYK without a colour profile"):
        read_photograph(path)


@pytest.mark.parametrize("damage", ["noise", "cut", "tags"])
def test_a_damaged_profile_is_rejected(save, sample, damage):
    whole = rgb_profile(DISPLAY_P3)
    profile = {"noise": b"no profile", "cut": whole[:100], "tags": whole[:300]}[damage]
    path = save(Image.fromarray(sample["flower"]), "f.png", icc_profile=profile)
    with pytest.raises(InputError, match=r"f\.png: its colour profile .* convert it to sRGB"):
        read_photograph(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_the_profile_of_another_kind_of_picture_is_rejected(save, sample, mode):
    wrong = {"L": grey_inks_profile(), "RGB": linear_grey_profile(), "CMYK": rgb_profile(SRGB)}
    picture = Image.fromarray(sample["flower"]).convert(mode)
    path = save(picture, "f.tif", icc_profile=wrong[mode])
    with pytest.raises(InputError, match=rf"its colour profile is for .* its pixels are {mode}"):
        read_photograph(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_the_orientation_is_applied_with_a_profile(save, sample, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    picture = Image.fromarray(sample["chelsea"])
    path = save(picture, f"t.{suffix}", exif=exif, icc_profile=rgb_profile(SRGB), **options)
    turned = {
        3: np.rot90(sample["chelsea"], 2),
        5: sample["chelsea"].swapaxes(0, 1),
        6: np.rot90(sample["chelsea"], -1),
        8: np.rot90(sample["chelsea"], 1),
    }[orientation]
    image = read_photograph(path)
    assert image.shape == turned.shape and picture_size(path) == turned.shape[:2]
    assert np.abs(image.astype(float) - turned).mean() < (3 if suffix == "jpg" else 1e-9)


def test_grey_and_palettes_become_rgb(save, sample):
    picture = Image.fromarray(sample["astronaut"])
    for mode in ("L", "P", "1"):
        image = read_photograph(save(picture.convert(mode), f"{mode}.png"))
        assert np.array_equal(image, np.asarray(picture.convert(mode).convert("RGB")))


def test_sixteen_bits_become_eight(tmp_path):
    deep = (np.arange(16 * 16 * 3, dtype=np.uint16) * 85).reshape(16, 16, 3)
    for name in ("deep.png", "deep.tif"):
        cv2.imwrite(str(tmp_path / name), deep[..., ::-1])
        assert np.array_equal(read_photograph(tmp_path / name), deep >> 8)
    Image.fromarray(deep[..., 0]).save(tmp_path / "grey.png")
    grey = read_photograph(tmp_path / "grey.png")
    assert np.array_equal(grey[..., 1], np.round(deep[..., 0] / 257))
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match="no fixed range"):
        read_photograph(tmp_path / "float.tif")


def test_alpha_is_dropped_only_where_nothing_shows_through(save, sample):
    picture = Image.fromarray(sample["rocket"]).convert("RGBA")
    assert np.array_equal(read_photograph(save(picture, "opaque.png")), sample["rocket"])
    picture.putpixel((5, 5), (1, 2, 3, 254))
    paths = [save(picture, "pixel.png")]
    paths.append(save(picture.convert("LA"), "grey.png"))
    paths.append(save(picture.convert("RGB").convert("P"), "palette.png", transparency=b"\0\1\2"))
    for path in paths:
        with pytest.raises(InputError, match=rf"{path.name}: is partly transparent"):
            read_photograph(path)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif"])
def test_animations_are_rejected(save, sample, name):
    frames = [Image.fromarray(sample[n][:64, :64]) for n in ("china", "flower")]
    path = save(frames[0], name, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(InputError, match="is animated"):
        read_photograph(path)


@pytest.mark.parametrize("name", ["pages.tif", "pair.mpo"])
def test_of_several_pictures_in_a_file_the_first_is_taken(save, sample, name):
    pages = [Image.fromarray(sample[n][:64, :64]) for n in ("china", "flower")]
    path = save(pages[0], name, save_all=True, append_images=pages[1:])
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == 2
    assert np.abs(read_photograph(path).astype(float) - sample["china"][:64, :64]).mean() < 5
