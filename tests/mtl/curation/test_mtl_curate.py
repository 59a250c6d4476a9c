"""The pristine stage: what is kept, what is left out and why, stopped and resumed."""

import csv
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from deepfl.program import main
from mtl.curation import curate as module
from mtl.curation.curate import CURATED, JOURNAL, REJECTED, CurateConfig, curate
from mtl.curation.duplicates import perceptual_hash
from mtl.curation.pristine import pristine_crop
from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture

SIZE = (192, 256)


def config(photos: Path, out: Path, **changes) -> CurateConfig:
    return CurateConfig(photos, out, **{"size": SIZE, **changes})


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def reasons(out: Path) -> dict[str, str]:
    with (out / REJECTED).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["photograph"]: row["reason"] for row in csv.DictReader(file)}


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / CURATED).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["photograph"]: row for row in csv.DictReader(file)}


@pytest.fixture
def mixed(photographs, sample) -> Path:
    """Six good photographs, in folders too, among everything that is left out."""
    (photographs / "trip" / "day 2").mkdir(parents=True)
    (photographs / "coffee.png").rename(photographs / "trip" / "day 2" / "coffee.png")
    picture = Image.fromarray(sample["china"])
    picture.save(photographs / "zz poor.jpg", quality=30)
    picture.resize((320, 214)).save(photographs / "zz small.webp")
    picture.resize((200, 134)).save(photographs / "tiny.bmp")
    picture.convert("CMYK").save(photographs / "press.jpg")
    picture.save(photographs / "move.webp", save_all=True, append_images=[picture.rotate(180)])
    picture.save(photographs / "phone.cr2", format="PNG")
    picture.save(photographs / ".hidden.gif")
    (photographs / "text.jpg").write_text("no picture")
    whole = cv2.imencode(".jpg", sample["flower"][::-1])[1].tobytes()
    (photographs / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return photographs


def test_every_photograph_is_accounted_for(mixed, tmp_path, sample):
    out = tmp_path / "out"
    curation = curate(config(mixed, out, num_workers=2))
    assert curation.resumed == 0
    why = reasons(out)
    assert {name: why[name].split(";")[0] for name in why} == {
        "cut.jpg": why["cut.jpg"].split(";")[0],
        "move.webp": "is animated",
        "phone.cr2": ".cr2 is not read here",
        "press.jpg": "is CMYK without a colour profile, so that its colours are unknown",
        "text.jpg": "is not a picture",
        "tiny.bmp": "200×134 is smaller than 256×192",
        "zz poor.jpg": why["zz poor.jpg"],
        "zz small.webp": why["zz small.webp"],
    }
    assert "cannot be decoded" in why["cut.jpg"] and "--enlarge" in why["tiny.bmp"]
    for name in ("zz poor.jpg", "zz small.webp"):
        assert why[name].startswith("near-duplicate of china.png (")
    assert [(r.file, r.reason) for r in curation.rejected] == sorted(why.items())

    table = rows(out)
    names = {*sample} - {"coffee"}
    assert set(table) == {*(f"{n}.png" for n in names), "trip/day 2/coffee.png"}
    assert list(table) == sorted(table)
    for name, row in table.items():
        image = sample[Path(name).stem]
        height, width = image.shape[:2]
        assert (int(row["height"]), int(row["width"])) == (height, width)
        assert row["file"] == name
        assert int(row["hash"], 16) == perceptual_hash(image)
        crop = read_picture(out / row["file"])
        assert np.array_equal(crop, pristine_crop(image, SIZE))
        spanned = (round(height * float(row["scale"])), round(width * float(row["scale"])))
        assert int(row["top"]) == (spanned[0] - SIZE[0]) // 2
        assert int(row["left"]) == (spanned[1] - SIZE[1]) // 2
    written = {*(row["file"] for row in table.values()), CURATED, REJECTED, JOURNAL}
    assert set(digests(out)) == written


def test_the_same_bytes_with_any_number_of_workers_and_a_second_run_changes_nothing(
    mixed, tmp_path
):
    before = digests(mixed)
    for crop in ("centre", "salient"):
        one = config(mixed, tmp_path / f"one-{crop}", crop=crop, num_workers=1)
        four = config(mixed, tmp_path / f"four-{crop}", crop=crop, num_workers=4)
        curate(one)
        curate(four)
        assert digests(one.out) == digests(four.out)
        again = curate(four)
        assert again.resumed == len(again.kept) + len(again.rejected) - 1  # all but the .cr2
        assert digests(one.out) == digests(four.out)
    assert digests(tmp_path / "one-centre") != digests(tmp_path / "one-salient")
    assert digests(mixed) == before


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_a_stopped_run_continues_and_ends_in_the_same_bytes(mixed, tmp_path, monkeypatch, stop):
    whole = config(mixed, tmp_path / "whole")
    curate(whole)
    stopped = config(mixed, tmp_path / "stopped", num_workers=2)
    written = []

    def write(path, data):
        if Path(path).suffix == ".png":
            if len(written) == stop:
                raise KeyboardInterrupt
            written.append(path)
        original(path, data)

    original = module.write_atomically
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomically", write)
        with pytest.raises(KeyboardInterrupt):
            curate(stopped)
    assert not (stopped.out / CURATED).exists()
    with (stopped.out / JOURNAL).open("a") as journal:
        journal.write('{"photograph": "half a l')
    (stopped.out / ".0a1b2c3d.77.tmp").write_bytes(b"left by a killed run")
    users = [stopped.out / name for name in (".mine.tmp", ".0a1b2c3d.mine.tmp", ".china.png.7.tmp")]
    for path in users:
        path.write_bytes(b"the user's")
    times = {path: Path(path).stat().st_mtime_ns for path in written}
    curation = curate(stopped)
    assert curation.resumed >= stop
    for path in users:
        path.unlink()  # they are still there
    assert times == {path: Path(path).stat().st_mtime_ns for path in written}
    assert digests(stopped.out) == digests(whole.out)


def test_a_killed_program_continues_and_ends_in_the_same_bytes(photographs, tmp_path, sample):
    for k in range(40):
        shifted = np.roll(sample["china"], 16 * k, axis=1)
        cv2.imwrite(str(photographs / f"shifted-{k:02d}.png"), shifted[..., ::-1])
    command = [
        *(sys.executable, "-m", "deepfl", "curate", str(photographs)),
        *("--size", *map(str, SIZE), "--num-workers", "1", "--crop", "salient", "--out"),
    ]
    out = tmp_path / "killed"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, str(out)], stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not list(out.glob("*.png")):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / CURATED).exists()
    again = subprocess.run([*command, str(out)], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "(0 were decided before)" not in again.stderr
    assert f"next: deepfl generate {out} --out KADIS --size 192 256" in again.stderr
    curate(config(photographs, tmp_path / "whole", crop="salient"))
    assert digests(out) == digests(tmp_path / "whole")


def test_lost_crops_are_made_again(photographs, tmp_path):
    settings = config(photographs, tmp_path / "out")
    curate(settings)
    before = digests(settings.out)
    (settings.out / "china.png").unlink()
    (settings.out / "rocket.png").write_bytes(b"truncated")
    (settings.out / CURATED).unlink()
    assert curate(settings).resumed == 6
    assert digests(settings.out) == before


def test_a_crop_is_not_restored_from_another_photograph(photographs, tmp_path):
    Image.new("RGB", (400, 300)).save(photographs / "plain.bmp")
    settings = config(photographs, tmp_path / "out")
    curate(settings)
    (settings.out / "plain.png").unlink()
    ramp = np.tile(np.linspace(0, 255, 400).astype(np.uint8), (300, 1))
    Image.fromarray(np.dstack([ramp] * 3)).save(photographs / "plain.bmp")  # as many bytes
    with pytest.raises(InputError, match=r"plain\.bmp: is not the photograph that was curated"):
        curate(settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (96, 128)}, r"was curated with size \[192, 256\], not \[96, 128\]"),
        ({"crop": "salient"}, "was curated with crop centre, not salient"),
        ({"enlarge": True}, "was curated with enlarge False, not True"),
        ({"duplicate_distance": 3}, "was curated with duplicate-distance 6, not 3"),
    ],
)
def test_other_settings_are_refused(photographs, tmp_path, change, message):
    curate(config(photographs, tmp_path / "out"))
    before = digests(tmp_path / "out")
    with pytest.raises(InputError, match=message):
        curate(config(photographs, tmp_path / "out", **change))
    assert digests(tmp_path / "out") == before
    curate(config(photographs, tmp_path / "out", num_workers=1))


def test_other_photographs_are_refused(photographs, tmp_path, sample):
    curate(config(photographs, tmp_path / "out"))
    cv2.imwrite(str(photographs / "new.png"), sample["china"])
    with pytest.raises(InputError, match=r"from other photographs \(new\.png has come"):
        curate(config(photographs, tmp_path / "out"))


@pytest.mark.parametrize("damage", ["no json", '{"format": 1}', "[]", ""])
def test_a_damaged_journal_is_named(photographs, tmp_path, damage):
    settings = config(photographs, tmp_path / "out")
    curate(settings)
    (settings.out / JOURNAL).write_text(damage and damage + "\n")
    with pytest.raises(InputError, match=r"curation\.jsonl: is damaged"):
        curate(settings)


def test_a_journal_of_another_order_is_damaged(photographs, tmp_path):
    settings = config(photographs, tmp_path / "out")
    curate(settings)
    header, first, second, *rest = (settings.out / JOURNAL).read_text().splitlines()
    (settings.out / JOURNAL).write_text("\n".join([header, second, first, *rest, ""]))
    with pytest.raises(InputError, match="is damaged"):
        curate(settings)


def test_names_that_would_collide_keep_their_suffix(tmp_path, sample):
    photos = tmp_path / "photos"
    (photos / "f.png").mkdir(parents=True)
    for name, key in (
        ("a.jpg", "china"),
        ("a.png", "flower"),
        ("B.png", "coffee"),
        ("b.jpg", "rocket"),
        ("a.jpg.bmp", "chelsea"),
        ("f.jpg", "astronaut"),
        ("f.png/a.jpg", "astronaut"),
    ):
        Image.fromarray(sample[key]).save(photos / name)
    curation = curate(config(photos, tmp_path / "out"))
    assert {k.photograph: k.file for k in curation.kept} == {
        "B.png": "B.png.png",
        "a.jpg": "a.jpg.png",
        "a.png": "a.png.png",
        "b.jpg": "b.jpg.png",
        "f.png/a.jpg": "f.png/a.png",
    }
    assert {r.file: r.reason for r in curation.rejected} == {
        "a.jpg.bmp": "its crop a.jpg.png would overwrite that of a.jpg; rename the photograph",
        "f.jpg": "its crop f.png would overwrite the folder f.png; rename the photograph",
    }
    assert np.array_equal(
        read_picture(tmp_path / "out" / "a.png.png"), pristine_crop(sample["flower"], SIZE)
    )


def test_a_name_that_is_not_utf8_is_a_name_like_any_other(photographs, tmp_path):
    strange = photographs / "caf\udce9.png"
    try:
        (photographs / "china.png").rename(strange)
    except OSError:
        pytest.skip("this disk takes only names in UTF-8")
    curate(config(photographs, tmp_path / "out"))
    assert reasons(tmp_path / "out") == {}
    assert rows(tmp_path / "out")[strange.name]["file"] == strange.name
    assert (tmp_path / "out" / strange.name).is_file()
    assert b"caf\xe9.png" in (tmp_path / "out" / CURATED).read_bytes()
    before = digests(tmp_path / "out")
    assert curate(config(photographs, tmp_path / "out")).resumed == 6
    assert digests(tmp_path / "out") == before


def test_a_crop_whose_name_would_be_too_long_is_left_out(photographs, tmp_path, sample):
    for suffix in (".png", ".tif"):  # alike but for the suffix, which the crops keep: .png.png
        Image.fromarray(sample["china"]).save(photographs / ("n" * 249 + suffix))
    (photographs / "gone.jpg").symlink_to("nowhere.jpg")
    curation = curate(config(photographs, tmp_path / "out", duplicate_distance=-1))
    reasons = {one.file: one.reason for one in curation.rejected}
    assert reasons.pop("gone.jpg") == "is a link to a file that is missing"
    assert set(reasons) == {"n" * 249 + ".png", "n" * 249 + ".tif"}
    assert all("257 bytes, where 255 are allowed" in reason for reason in reasons.values())


def test_near_duplicates_stay_when_asked_for(photographs, tmp_path, sample):
    Image.fromarray(sample["china"]).save(photographs / "again.jpg", quality=60)
    curation = curate(config(photographs, tmp_path / "out", duplicate_distance=-1))
    assert len(curation.kept) == 7 and not curation.rejected
    assert (tmp_path / "out" / REJECTED).read_text() == "photograph,reason\n"
    fewer = curate(config(photographs, tmp_path / "fewer"))
    assert [r.file for r in fewer.rejected] == ["china.png"]  # again.jpg is first by name


def test_enlarging_is_only_on_request(photographs, tmp_path, sample):
    Image.fromarray(sample["china"]).resize((200, 134)).save(photographs / "tiny.png")
    (photographs / "china.png").unlink()
    curation = curate(config(photographs, tmp_path / "out", enlarge=True))
    tiny = next(k for k in curation.kept if k.photograph == "tiny.png")
    assert tiny.scale == pytest.approx(192 / 134, abs=1e-6) and (tiny.width, tiny.height) == (
        200,
        134,
    )
    assert read_picture(tmp_path / "out" / "tiny.png").shape == (*SIZE, 3)


def test_the_orientation_counts_for_the_size(tmp_path, sample):
    photos = tmp_path / "photos"
    photos.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.ascontiguousarray(sample["coffee"][:200, :600])  # 600×200, upright 200×600
    Image.fromarray(lying).save(photos / "turned.jpg", exif=exif, quality=95)
    with pytest.raises(InputError, match="200×600 is smaller than 256×192"):
        curate(config(photos, tmp_path / "out"))
    curation = curate(config(photos, tmp_path / "tall", size=(300, 150)))
    assert (curation.kept[0].width, curation.kept[0].height) == (200, 600)
    expected = pristine_crop(np.rot90(lying, -1).copy(), (300, 150)).astype(float)
    assert np.abs(read_picture(tmp_path / "tall" / "turned.png") - expected).mean() < 5


def test_the_salient_crop_keeps_what_the_centre_loses(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    image = np.random.default_rng(0).integers(60, 64, (200, 600, 3), np.uint8)
    image[80:120, 540:580] = (250, 240, 120)
    Image.fromarray(image).save(photos / "ball.png")
    kept = {}
    for crop in ("centre", "salient"):
        curation = curate(config(photos, tmp_path / crop, crop=crop))
        kept[crop] = int(read_picture(tmp_path / crop / "ball.png").max())
        assert curation.kept[0].top == 0
    assert kept["centre"] < 100 < 240 < kept["salient"]


def test_a_full_disk_stops_the_run_and_the_next_one_continues(
    photographs, tmp_path, monkeypatch, capsys
):
    original = module.write_atomically

    def write(path, data):
        if Path(path).name == "coffee.png":
            raise OSError(28, "No space left on device", str(path))
        original(path, data)

    command = ["curate", str(photographs), "--out", str(tmp_path / "out"), "--size", "192", "256"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomically", write)
        assert main(command) == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert main(command) == 0
    assert "(3 were decided before)" in capsys.readouterr().err
    curate(config(photographs, tmp_path / "whole"))
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_the_journal_names_no_place_of_this_machine(photographs, tmp_path):
    curate(config(photographs, tmp_path / "out"))
    text = (tmp_path / "out" / JOURNAL).read_text()
    assert str(tmp_path) not in text
    assert len([json.loads(line) for line in text.splitlines()]) == 1 + 6


MISTAKES = [
    ("gone --out out", "gone: no such folder"),
    ("empty --out out", "empty: holds no pictures"),
    ("photographs/china.png --out out", "china.png: is a file; give the folder"),
    ("photographs --out empty/../photographs/in", "neither inside the pictures' folder nor"),
    ("photographs --out .", "neither inside the pictures' folder nor"),
    ("photographs --out photographs", "neither inside the pictures' folder nor"),
    ("photographs --out full", "full: exists and is not a curation; choose another --out"),
    ("photographs --out full/file", "file: exists and is not a curation"),
    ("photographs --out out --size 0 9", "--size 0 9: give pixels"),
    ("photographs --out out --duplicate-distance 65", "--duplicate-distance 65: give bits"),
    ("photographs --out out --num-workers 0", "--num-workers 0: must be at least 1"),
    ("photographs --out out --size 2000 3000", "none of its 6 photographs can be used; the first"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_one_line_and_leaves_nothing(
    photographs, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["curate", *arguments.split()]) == 2
    error = capsys.readouterr().err
    last = error.strip().splitlines()[-1]
    assert last.startswith("deepfl curate: ") and message in last, error
    assert "Traceback" not in error
    assert sorted(tmp_path.rglob("*")) == before
