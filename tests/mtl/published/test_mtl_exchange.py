"""Export as KADIS-700k is published, import of what is published: nothing is lost on either way."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import cv2
import numpy as np
import pytest
from folder_digests import digests

from deepfl.program import main
from mlsp.features.data_sets import DataSet as DescribedDataSet
from mtl.curation.pristine import pristine_crop
from mtl.kadis.generate import EQUALIZATION, generate
from mtl.kadis.making import make_shard
from mtl.kadis.manifest import claim, read_manifest
from mtl.kadis.names import exported_stems, files_of, parse_version
from mtl.kadis.plan import GenerateConfig, make_plan
from mtl.kadis.recipes import validation_references
from mtl.kadis.records import DataSet, StoredImage
from mtl.kadis.shards import NAME, ShardWriter
from mtl.kadis.verification.verify import VerifyConfig, verify
from mtl.published import export as exporting
from mtl.published.export import ExportConfig, export
from mtl.published.import_plan import ImportConfig
from mtl.published.importing import import_published
from mtl.published.score_tables import read_published
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import list_pictures, read_picture
from mtl.training.batches import training_batches
from mtl.training.multitask.data import ScoredImages
from mtl.training.settings import Batching

LONG = "x" * 300 + "_25_01.png"  # more bytes than a name may have
SIZE = (96, 128)
METRIC_NAMES = ("ssim", "gmsd", "sr_sim")
COLUMNS = ["dist_im", "ref_im", "SSIM", "GMSD", "SR_SIM"]
# Names that a table or a disk could trip over, and what they are called in an export.
NAMES = {
    "astronaut.png": "astronaut",
    "coffee.jpg": "coffee.jpg",
    "coffee.png": "coffee.png",
    "Chelsea, the \"cat\".png": 'Chelsea, the "cat"',
    "sub/östlich_01_05.png": "sub/östlich_01_05",
    "sub/astronaut.jpeg": "sub/astronaut",
}  # fmt: skip


def config(photographs: Path, out: Path, **changes) -> GenerateConfig:
    settings = {"size": SIZE, "metrics": METRIC_NAMES, "shards": 3, "validation": 0.3, **changes}
    return GenerateConfig(photographs, out, types=("jpeg", "white_noise", "darken"), **settings)


def generate_here(settings: GenerateConfig) -> Path:
    """A data set, its shards made in this process."""
    planned = make_plan(settings)
    claim(settings.out, planned)
    for shard in planned.shards:
        make_shard(planned, shard, lambda tally: None)
    generate(settings)
    return settings.out


@pytest.fixture(scope="module")
def made(tmp_path_factory, sample) -> Path:
    """A folder with photographs and two data sets of them, `pixels` and `recipe`."""
    root = tmp_path_factory.mktemp("exchange")
    for name, image in zip(NAMES, sample.values(), strict=True):
        path = root / "photographs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = cv2.imencode(path.suffix, cv2.resize(image, (180, 140))[..., ::-1])[1]
        path.write_bytes(data.tobytes())
    for store in ("pixels", "recipe"):
        generate_here(config(root / "photographs", root / store, store=store))
    return root


@pytest.fixture(scope="module")
def exported(made) -> Path:
    """The data set `recipe` as table and pictures."""
    out = made / "exported"
    export(ExportConfig(made / "recipe", out / "scores.csv", pictures=out))
    return out


@pytest.fixture
def release(exported, tmp_path) -> Path:
    """A copy of the export that a test may change."""
    shutil.copytree(exported, tmp_path / "release")
    return tmp_path / "release"


def stored_images(data: Path, split: str | None = None) -> list[StoredImage]:
    stored = DataSet(data)
    splits = [split] if split else stored.splits
    return [stored.image(s, k) for s in splits for k in range(stored.number_of_images(s))]


def name_of(image: StoredImage) -> str:
    version = image.version
    return f"{NAMES[image.reference]}_{version.distortion:02d}_{version.level:02d}.png"


def read(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(table: Path, rows: list[dict]) -> None:
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def imported(release: Path, out: Path, **changes):
    settings = {"shards": 3, "validation": 0.3, **changes}
    folders = (release / "ref_imgs", release / "dist_imgs")
    return import_published(ImportConfig(release / "scores.csv", *folders, out, **settings))


def test_the_table_holds_the_scores_bit_for_bit(made, tmp_path):
    done = export(ExportConfig(made / "pixels", tmp_path / "new" / "scores.csv"))
    images = stored_images(made / "pixels")
    assert done.images == len(images) == 6 * 5
    rows = read(done.table)
    assert list(rows[0]) == COLUMNS
    assert [row["dist_im"] for row in rows] == [name_of(image) for image in images]
    published = read_published(done.table)
    assert published.metrics == METRIC_NAMES
    for image in images:
        assert published.references[name_of(image)] == f"{NAMES[image.reference]}.png"
        scores = published.scores[name_of(image)]
        for metric in METRIC_NAMES:
            assert np.float32(scores[metric]) == np.float32(image.scores[metric])
    for row in rows:
        for text in list(row.values())[2:]:
            shorter = len(Decimal(text).normalize().as_tuple().digits) - 1
            assert shorter < 1 or np.float32(f"{float(text):.{shorter}g}") != np.float32(text)


@pytest.mark.parametrize("store", ["pixels", "recipe"])
def test_the_pictures_are_those_of_the_data_set(made, tmp_path, store):
    done = export(ExportConfig(made / store, tmp_path / "scores.csv", pictures=tmp_path / "out"))
    assert (done.images, done.references, done.rejected) == (30, 6, ())
    images = stored_images(made / store)
    for image in images:
        found = read_picture(tmp_path / "out" / "dist_imgs" / name_of(image))
        assert np.array_equal(found, image.image)
    for name, stem in NAMES.items():
        pristine = pristine_crop(read_picture(made / "photographs" / name), SIZE)
        found = read_picture(tmp_path / "out" / "ref_imgs" / f"{stem}.png")
        assert np.array_equal(found, pristine)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 36
    # What the scoring program makes of the names.
    folders = [str(tmp_path / "out" / folder) for folder in ("ref_imgs", "dist_imgs")]
    again = tmp_path / "again.csv"
    assert main(["score", *folders, "--metrics", "gmsd", "--out", str(again)]) == 0
    ours = {row["distorted"]: float(row["gmsd"]) for row in read(again)}
    for image in images:
        score = ours[f"{folders[1]}/{name_of(image)}"]
        assert score == pytest.approx(image.scores["gmsd"], abs=1e-5)


def test_a_stopped_export_is_continued(release, made):
    whole, cut, lost, other = sorted((release / "dist_imgs").glob("*.png"))[:4]
    before = digests(release)
    time = whole.stat().st_mtime_ns
    cut.write_bytes(cut.read_bytes()[:-20])
    lost.unlink()
    other.write_bytes(whole.read_bytes())  # a sound picture, but not this one
    next((release / "ref_imgs").glob("*.png")).write_bytes(whole.read_bytes())
    export(ExportConfig(made / "recipe", release / "scores.csv", pictures=release, num_workers=1))
    assert digests(release) == before
    assert whole.stat().st_mtime_ns == time


def test_a_killed_export_is_continued(made, tmp_path, monkeypatch):
    def settings(out):
        return ExportConfig(made / "pixels", tmp_path / "s.csv", pictures=out, num_workers=1)

    export(settings(tmp_path / "once"))
    for limit in (0, 1, 5):
        out, written = tmp_path / f"killed-{limit}", []

        def dying(path, data, limit=limit, written=written):
            if path.suffix == ".png":
                if len(written) == limit:
                    raise KeyboardInterrupt
                written.append(path)
            write_atomically(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(exporting, "write_atomically", dying)
            with pytest.raises(KeyboardInterrupt):
                export(settings(out))
        with (out / "pictures.jsonl").open("a") as journal:
            journal.write('["dist_imgs/half')
        export(settings(out))
        for folder in ("dist_imgs", "ref_imgs"):
            assert digests(out / folder) == digests(tmp_path / "once" / folder)
        assert len((out / "pictures.jsonl").read_text().splitlines()) == 36
    (out / "pictures.jsonl").write_text("[1]\n")
    with pytest.raises(InputError, match=r"pictures\.jsonl: is damaged; delete it"):
        export(settings(out))


def test_pictures_of_splits_do_not_mix(made, tmp_path):
    def settings(split):
        return ExportConfig(made / "pixels", tmp_path / "s.csv", tmp_path / "out", split)

    export(settings("validation"))
    before = digests(tmp_path / "out")
    for split in ("train", None):
        with pytest.raises(InputError, match="those of another --split; choose other --pictures"):
            export(settings(split))
    export(settings("validation"))
    assert digests(tmp_path / "out") == before


def test_an_export_that_fails_leaves_no_half_table(made, tmp_path, monkeypatch):
    read_stats = exporting.read_stats

    def failing(data, shard):
        if shard.index == 1:
            raise OSError("the disk has gone")
        return read_stats(data, shard)

    monkeypatch.setattr(exporting, "read_stats", failing)
    with pytest.raises(OSError, match="the disk has gone"):
        export(ExportConfig(made / "pixels", tmp_path / "scores.csv"))
    assert list(tmp_path.iterdir()) == []


def test_one_split_alone(made, tmp_path):
    done = export(ExportConfig(made / "pixels", tmp_path / "scores.csv", split="validation"))
    names = [row["dist_im"] for row in read(done.table)]
    assert names == [name_of(image) for image in stored_images(made / "pixels", "validation")]
    assert 0 < len(names) < 30


def test_references_need_the_photographs_that_were_used(made, tmp_path, capsys):
    photographs = tmp_path / "photographs"
    shutil.copytree(made / "photographs", photographs)
    (photographs / "astronaut.png").unlink()
    (photographs / "coffee.jpg").write_bytes(b"another")
    out = tmp_path / "out"
    settings = ExportConfig(made / "pixels", tmp_path / "scores.csv", pictures=out)
    done = export(ExportConfig(**vars(settings) | {"photos": photographs}))
    assert (done.images, done.references) == (30, 4)
    reasons = {one.file: one.reason for one in done.rejected}
    assert sorted(reasons) == ["astronaut.png", "coffee.jpg"]
    assert "has changed" in reasons["coffee.jpg"] and "no such file" in reasons["astronaut.png"]
    # A data set that was moved here from another machine.
    moved = tmp_path / "moved"
    shutil.copytree(made / "pixels", moved)
    (moved / "photographs.txt").write_text("/nowhere\n")
    settings = ExportConfig(moved, tmp_path / "scores.csv", pictures=tmp_path / "other")
    assert export(settings, progress=True).references == 0
    assert "--photos" in capsys.readouterr().err
    assert len(list((tmp_path / "other" / "dist_imgs").rglob("*.png"))) == 30


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda place: {"data": place}, "is not a data set"),
        (lambda place: {"out": place}, "is a folder"),
        (lambda place: {"out": place / "p", "pictures": place / "p"}, "is both --out and"),
        (
            lambda place: {"pictures": place / "of_recipe" / "scores.csv"},
            "is a file; give a folder for --pic",
        ),
        (
            lambda place: {
                "pictures": place / "of_recipe",
                "out": place / "of_recipe" / "export.json",
            },
            "would replace .*export.json, which is read",
        ),
        (lambda place: {"pictures": place}, "exists and is not an export"),
        (lambda place: {"pictures": place / "of_recipe"}, "holds another data set's pictures"),
        (lambda place: {"photos": place / "none", "pictures": place / "p"}, "no such folder"),
        (lambda place: {"num_workers": 0}, "--num-workers 0"),
    ],
)
def test_exports_that_are_refused(made, release, change: Callable[[Path], dict], words):
    place = release.parent
    release.rename(place / "of_recipe")
    settings = {"data": made / "pixels", "out": place / "new.csv"} | change(place)
    with pytest.raises(InputError, match=words):
        export(ExportConfig(**settings))


def test_an_export_never_replaces_the_data_set(made):
    before = digests(made / "pixels")
    for name in before:
        with pytest.raises(InputError, match=r"would replace .*, which is read"):
            export(ExportConfig(made / "pixels", made / "pixels" / name))
    assert digests(made / "pixels") == before and before


def test_a_split_that_is_not_there(made, tmp_path):
    settings = config(made / "photographs", tmp_path / "data", validation=0, metrics=("gmsd",))
    data = generate_here(settings)
    with pytest.raises(InputError, match="has no validation split"):
        export(ExportConfig(data, tmp_path / "scores.csv", split="validation"))


def test_an_import_of_an_export_is_the_same_data(made, exported, tmp_path):
    summary = imported(exported, tmp_path / "data")
    assert sum(summary.images.values()) == 30
    assert (summary.made, summary.resumed, summary.rejected) == (3, 0, ())
    before = {name_of(image): image for image in stored_images(made / "recipe")}
    images = stored_images(tmp_path / "data")
    assert len(images) == 30
    for image in images:
        version = image.version
        stem = image.reference.removesuffix(".png")
        name = f"{stem}_{version.distortion:02d}_{version.level:02d}.png"
        original = before.pop(name)
        assert NAMES[original.reference] == stem
        assert (version.distortion, version.level, version.seed) == (
            *(original.version.distortion, original.version.level),
            0,
        )
        assert np.array_equal(image.image, original.image)
        assert image.scores == original.scores
    splits = [{i.reference for i in stored_images(tmp_path / "data", s)} for s in summary.images]
    assert not set.intersection(*splits)


def test_an_import_can_be_trained_on_and_described(exported, tmp_path):
    imported(exported, tmp_path / "data")
    assert not verify(VerifyConfig(tmp_path / "data", sample=0, num_workers=1)).problems
    images = ScoredImages(tmp_path / "data", "train", METRIC_NAMES, None)
    batches = training_batches(images, Batching(4, crop=(64, 64), flip=True), 0)
    first = next(iter(batches))
    assert first.images.shape == (4, 64, 64, 3) and first.targets.shape == (4, 3)
    plan = read_manifest(tmp_path / "data")["plan"]
    assert (plan["recipe"], plan["store"], plan["size"]) == ("published", "pixels", list(SIZE))
    assert plan["levels"] == [1, 2, 3, 4, 5] and set(plan["types"]) <= {10, 11, 17}
    assert plan["metrics"] == list(METRIC_NAMES)
    assert (tmp_path / "data" / EQUALIZATION).is_file()
    described = DescribedDataSet(tmp_path / "data")
    assert len(described.names) == len(set(described.names)) == 30
    # And exported again, to what it was made of.
    again = tmp_path / "again"
    export(ExportConfig(tmp_path / "data", again / "scores.csv", pictures=again))
    rows = {row["dist_im"]: row for row in read(exported / "scores.csv")}
    assert {row["dist_im"]: row for row in read(again / "scores.csv")} == rows
    assert digests(again / "dist_imgs") == digests(exported / "dist_imgs")
    assert digests(again / "ref_imgs") == digests(exported / "ref_imgs")


def test_a_stopped_import_is_continued_to_the_same_bytes(exported, tmp_path, monkeypatch):
    imported(exported, tmp_path / "once", num_workers=3)
    write_record = ShardWriter.write
    written = []

    def failing(self, record):
        written.append(record)
        if len(written) == 23:
            raise OSError("No space left on device")
        write_record(self, record)

    with monkeypatch.context() as broken:
        broken.setattr(ShardWriter, "write", failing)
        with pytest.raises(OSError, match="No space left"):
            imported(exported, tmp_path / "twice", num_workers=1)
    with pytest.raises(InputError, match="is unfinished"):
        read_manifest(tmp_path / "twice")
    summary = imported(exported, tmp_path / "twice", num_workers=1)
    assert 1 <= summary.resumed < 3 and summary.made == 3 - summary.resumed
    assert digests(tmp_path / "twice") == digests(tmp_path / "once")
    (tmp_path / "twice" / "stats" / "00001.json").unlink()
    assert imported(exported, tmp_path / "twice").made == 1
    assert imported(exported, tmp_path / "twice").made == 0
    assert digests(tmp_path / "twice") == digests(tmp_path / "once")


def test_every_row_is_imported_or_left_out_with_its_reason(release, tmp_path):
    rows = read(release / "scores.csv")
    by_reference: dict[str, list[dict]] = {}
    for row in rows:
        by_reference.setdefault(row["ref_im"], []).append(row)
    damaged, small, gone = list(by_reference)[:3]
    nan, infinite, missing, cut, other = (row["dist_im"] for row in by_reference[damaged])
    by_reference[damaged][0]["GMSD"] = "NaN"
    by_reference[damaged][1]["SSIM"] = "1e300"
    spare = by_reference[damaged][0] | {"GMSD": "0.5"}
    names = {"dist_im": LONG}, {"dist_im": "b_10_01.png", "ref_im": LONG}
    write(release / "scores.csv", [*rows, *(spare | each for each in names)])
    pictures = release / "dist_imgs"
    (pictures / missing).unlink()
    (pictures / cut).write_bytes((pictures / cut).read_bytes()[:-2000])
    cv2.imwrite(str(pictures / other), np.zeros((50, 60, 3), np.uint8))
    cv2.imwrite(str(release / "ref_imgs" / small), np.zeros((50, 60, 3), np.uint8))
    (release / "ref_imgs" / gone).unlink()

    summary = imported(release, tmp_path / "data")
    assert sum(summary.images.values()) == len(stored_images(tmp_path / "data")) == 15
    reasons = {one.file: one.reason for one in summary.rejected}
    assert len(summary.rejected) == len(reasons) == 17
    assert "its reference" in reasons["b_10_01.png"]
    assert reasons[nan] == "its gmsd is nan"
    assert reasons[infinite] == "its ssim is 1e+300"
    assert reasons[missing] == reasons[LONG] == "no such file"
    assert "cannot be decoded" in reasons[cut]
    assert reasons[other] == "is 60×50; most references are 128×96"
    for row in by_reference[small]:
        assert (
            reasons[row["dist_im"]] == f"its reference {small} is 60×50; most references are 128×96"
        )
    for row in by_reference[gone]:
        assert reasons[row["dist_im"]] == f"its reference {gone} no such file"
    listed = {one["file"]: one["reason"] for one in read_manifest(tmp_path / "data")["rejected"]}
    assert listed == reasons
    sizes = read_manifest(tmp_path / "data")["plan"]["photographs"]
    assert small not in sizes and gone not in sizes


def test_a_shard_may_be_left_with_nothing(release, tmp_path):
    imported(release, tmp_path / "whole", shards=6)
    shard = read_manifest(tmp_path / "whole")["plan"]["shards"][1]
    assert shard["split"] == "train"
    (reference,) = shard["references"]
    for row in read(release / "scores.csv"):
        if row["ref_im"] == reference:
            (release / "dist_imgs" / row["dist_im"]).write_bytes(b"no picture")
    summary = imported(release, tmp_path / "data", shards=6)
    images = stored_images(tmp_path / "data")
    assert sum(summary.images.values()) == len(images) == 25
    assert reference not in {image.reference for image in images}


def change(release: Path, edit: Callable[[list[dict]], list[dict]]) -> None:
    write(release / "scores.csv", edit(read(release / "scores.csv")))


def renamed(name: str) -> Callable[[list[dict]], list[dict]]:
    return lambda rows: [rows[0], rows[1] | {"dist_im": name}, *rows[2:]]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda rows: [{"picture": "a", "SSIM": 1}], "dist_im is missing"),
        (lambda rows: [{k: r[k] for k in COLUMNS[:2]} for r in rows], "no column is named like"),
        (lambda rows: [r | {"ssim": r["SSIM"]} for r in rows], "names ssim twice, in the columns"),
        (lambda rows: [*rows, rows[0]], "line 32: .* is there twice"),
        (lambda rows: [*rows, rows[0] | {"dist_im": "x" + rows[0]["dist_im"]}], "are both type"),
        (lambda rows: [r | {"SSIM": "good"} for r in rows], "line 2: SSIM 'good' is not a number"),
        (lambda rows: [rows[0] | {"ref_im": ""}], "line 2: lacks its ref_im"),
        (
            lambda rows: [r | {"GMSD": "nan"} for r in rows],
            "none of its 30 pictures can be used; the first, .*: its gmsd is nan",
        ),
        (renamed("coffee.png"), r"line 3: coffee\.png is not named REFERENCE_TYPE_LEVEL"),
        (renamed("_10_01.png"), "line 3: _10_01.png is not named"),
        (renamed("a_grey_01.png"), "line 3: a_grey_01.png is not named"),
        (renamed("a_26_01.png"), "line 3: a_26_01.png says type 26"),
        (renamed("a_10_06.png"), "line 3: a_10_06.png says level 06"),
        (renamed("../a_10_01.png"), "is not a name inside a folder"),
        (renamed("/a_10_01.png"), "is not a name inside a folder"),
        (lambda rows: [*rows, rows[0] | {"dist_im": f"./{rows[0]['dist_im']}"}], "is there twice"),
    ],
)
def test_tables_that_cannot_be_imported(release, tmp_path, edit, words):
    change(release, edit)
    with pytest.raises(InputError, match=words):
        imported(release, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_row_with_more_fields_than_the_header(release, tmp_path):
    table = release / "scores.csv"
    table.write_text(table.read_text().replace('"Chelsea, the ""cat""_', "Chelsea, the cat_", 1))
    with pytest.raises(InputError, match=r"line \d+: has 6 fields, not the header's 5"):
        imported(release, tmp_path / "data")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"validation": 1.0}, "--validation 1.0"),
        ({"shards": 0}, "--shards must be"),
        ({"num_workers": 0}, "--num-workers 0"),
        ({"metrics": ("ssim", "vsi")}, "has no column of vsi; it has ssim gmsd sr_sim"),
        ({"metrics": ("sim",)}, "sim: is not a metric"),
    ],
)
def test_settings_that_are_refused(release, tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        imported(release, tmp_path / "data", **settings)


def test_places_that_are_refused(release, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    with pytest.raises(InputError, match="exists and is not a data set"):
        imported(release, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]
    imported(release, tmp_path / "data")
    change(release, lambda rows: [rows[0] | {"SSIM": "0.5"}, *rows[1:]])
    with pytest.raises(InputError, match="other photographs or settings"):
        imported(release, tmp_path / "data")
    with pytest.raises(InputError, match=r"none of its 30 pictures can be used; the first,"):
        import_published(ImportConfig(release / "scores.csv", tmp_path, tmp_path, tmp_path / "new"))
    with pytest.raises(InputError, match="none: no such folder"):
        import_published(
            ImportConfig(release / "scores.csv", tmp_path / "none", tmp_path, tmp_path / "new")
        )
    assert not (tmp_path / "new").exists()


def test_the_names_and_columns_of_kadis_700k(release, tmp_path):
    """Types by short names in the table and by numbers on the disk, bitmaps, FSIM for FSIMc."""
    short = {"10": "jpeg", "11": "noisegauss", "17": "darken"}
    rows = []
    for row in read(release / "scores.csv"):
        path = release / "dist_imgs" / row["dist_im"]
        stem, kind, level = row["dist_im"].removesuffix(".png").rsplit("_", 2)
        cv2.imwrite(str(path.with_suffix(".bmp")), cv2.imread(str(path)))
        path.unlink()
        name = f"{stem}_{short[kind]}_{level}.bmp"
        rows.append({"dist_im": name, "ref_im": row["ref_im"], "FSIM": row["SSIM"], "PSNR": "30"})
    write(release / "scores.csv", rows)
    before = {row["dist_im"]: row["FSIM"] for row in rows}
    summary = imported(release, tmp_path / "data")
    assert summary.metrics == ("fsimc",) and summary.rejected == ()
    for image in stored_images(tmp_path / "data"):
        version = image.version
        kind = short[f"{version.distortion:02d}"]
        name = f"{image.reference.removesuffix('.png')}_{kind}_{version.level:02d}.bmp"
        assert np.float32(before.pop(name)) == np.float32(image.scores["fsimc"])
    assert before == {}


def test_names_of_an_export_never_meet():
    names = ["a.jpg", "a.png", "a.jpg.png", "A.tif", "b/a.jpg", "c.jpg"]
    stems = exported_stems(names)
    assert stems == {
        **{name: name for name in names[:4]},
        "b/a.jpg": "b/a",
        "c.jpg": "c",
    }
    assert len({stem.casefold() for stem in stems.values()}) == len(names)


def test_versions_in_names():
    assert parse_version("sub/I01_05_03.png") == ("sub/I01", 5, 3)
    assert parse_version("a.jpg_25_05.png") == ("a.jpg", 25, 5)
    assert parse_version("I_01_sharpenHi_01.bmp") == ("I_01", 24, 1)
    assert files_of("I01_colorshift_03.bmp") == [
        *("I01_colorshift_03.bmp", "I01_05_03.png", "I01_05_03.bmp")
    ]


def test_installed_commands(made, tmp_path):
    program = Path(sys.executable).with_name("deepfl")

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    done = run("export", str(made / "recipe"), "--out", "out/scores.csv", "--pictures", "out")
    assert done.returncode == 0, done.stderr
    assert "out: 30 pictures in dist_imgs, 6 in ref_imgs; 0 left out" in done.stderr
    assert "next: deepfl score out/ref_imgs out/dist_imgs --against out/scores.csv" in done.stderr
    folders = ("--references", "out/ref_imgs", "--distorted", "out/dist_imgs")
    done = run("import-scores", "out/scores.csv", *folders, "--out", "data", "--shards", "3")
    assert done.returncode == 0, done.stderr
    assert "images in 3 shards (0 were there), scores ssim gmsd sr_sim; 0 pictures" in done.stderr
    assert "next: deepfl train --data data" in done.stderr
    assert len(list((tmp_path / "data").glob(f"{NAME}-*"))) == 3
    assert "Warning" not in done.stderr
    assert main(["import-scores", "none.csv", *folders, "--out", "other"]) == 2


def test_pictures_are_found_whatever_their_case(release, tmp_path):
    whole = imported(release, tmp_path / "whole")
    for folder in ("ref_imgs", "dist_imgs"):
        for path in sorted((release / folder).rglob("*.*")):
            path.rename(path.with_name(path.name.swapcase()))
    found = imported(release, tmp_path / "found")
    assert found.images == whole.images and not found.rejected
    first = next(path for path in (release / "dist_imgs").rglob("*.*"))
    for name in (first.name.capitalize(), first.name.title()):
        first.with_name(name).write_bytes(first.read_bytes())
    first.rename(first.with_name("other.png"))
    with pytest.raises(InputError, match=r" may be .* or .*; rename one of them"):
        imported(release, tmp_path / "several")


def test_a_file_that_a_table_spells_in_two_ways(release, tmp_path):
    rows = read(release / "scores.csv")
    first = rows[0]["ref_im"]
    change(release, lambda rows: [rows[0] | {"ref_im": first.upper()}, *rows[1:]])
    with pytest.raises(InputError, match=f"{first.upper()} and {first} are both .*{first}; write"):
        imported(release, tmp_path / "data")
    other = next(row["ref_im"] for row in rows if row["ref_im"] != first)
    again = rows[0] | {"dist_im": rows[0]["dist_im"].upper(), "ref_im": other}
    write(release / "scores.csv", [*rows, again])
    with pytest.raises(InputError, match=r"are both .*; write one of them in all rows"):
        imported(release, tmp_path / "data")


def damaged(photographs: Path, folder: Path, seed: int) -> Path:
    """The photographs, those of the validation part with pixels that cannot be decoded."""
    shutil.copytree(photographs, folder)
    names = list_pictures(folder)
    for name in validation_references(names, 0.3, seed):
        path = folder / name
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    return folder


def test_a_data_set_whose_validation_part_is_lost_is_finished_and_open(made, tmp_path):
    photographs = damaged(made / "photographs", tmp_path / "photographs", 0)
    settings = config(photographs, tmp_path / "data")
    data = generate_here(settings)
    assert DataSet(data).splits == ("train",)
    found = verify(VerifyConfig(data, sample=0, num_workers=1))
    assert not found.problems, found.problems
    export(ExportConfig(data, tmp_path / "scores.csv"))
    assert len(read(tmp_path / "scores.csv")) == found.images
    with pytest.raises(InputError, match="has no validation split, or all its photographs were"):
        ScoredImages(data, "validation", METRIC_NAMES, None)
