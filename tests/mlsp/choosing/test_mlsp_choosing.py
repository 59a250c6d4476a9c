"""From photographs to a balanced set: through the command, stopped, continued, and refused."""

import csv
import hashlib
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from deepfl.program import main
from mlsp.choosing import DiverseConfig, curate_diverse
from mlsp.choosing import measuring as module
from mlsp.choosing.choose import trimming
from mlsp.choosing.indicators import INDICATORS
from mlsp.choosing.results import MEASURED_FOLDER, STATE_FILE
from mlsp.choosing.uniformity import uniformity
from mtl.curation.curate import CurateConfig, curate
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import Rejected, read_picture
from mtl.runtime.tables.csv_tables import read_table
from scripts import report_choosing

SIZE = (80, 96)
NUMBER = 10


@pytest.fixture(scope="module")
def many(tmp_path_factory, sample) -> Path:
    """Thirty windows of six photographs, brighter and darker, as PNG and JPEG; and bad files."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    for k in range(30):
        name, image = list(sample.items())[k % 6]
        top, left = (int(rng.integers(0, side - 150)) for side in image.shape[:2])
        height, width = int(rng.integers(90, 150)), int(rng.integers(100, 150))
        window = image[top : top + height, left : left + width] * rng.uniform(0.4, 1)
        picture = Image.fromarray(window.astype(np.uint8))
        if k % 3:
            picture.save(folder / f"{k:02d} {name}.jpg", quality=int(rng.integers(30, 96)))
        else:
            picture.save(folder / f"{k:02d} {name}.png")
    Image.open(folder / "00 astronaut.png").save(folder / "copy.jpg", quality=90)
    (folder / "text.jpg").write_text("no picture")
    Image.new("RGB", (20, 20)).save(folder / "tiny.bmp")
    return folder


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 4)


def config(photos: Path, out: Path, model: Path, **changes) -> DiverseConfig:
    settings = {"size": SIZE, "model": model, "diverse": NUMBER, "num_workers": 2}
    return DiverseConfig(photos, out, **{**settings, **changes})


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and MEASURED_FOLDER not in path.parts
    }


def rows(path: Path, key: str = "photograph") -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row[key]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def chosen(many, untrained, tmp_path_factory, local_ray) -> Path:
    """A finished choice, by the command."""
    out = tmp_path_factory.mktemp("chosen") / "out"
    command = ["--size", *map(str, SIZE), "--model", str(untrained), "--diverse", str(NUMBER)]
    assert main(["curate", str(many), "--out", str(out), *command]) == 0
    return out


def test_exactly_so_many_crops_and_every_photograph_accounted_for(chosen, many):
    table, curated = rows(chosen / "indicators.csv"), rows(chosen / "curated.csv")
    left_out = rows(chosen / "rejected.csv")
    assert len(curated) == NUMBER == sum(row["chosen"] == "1" for row in table.values())
    assert len(list(chosen.rglob("*.png"))) == NUMBER + 1  # and the histograms
    assert {*curated, *left_out} == {path.name for path in many.iterdir()}
    assert not {*curated} & {*left_out}
    assert {name for name, row in table.items() if row["chosen"] == "1"} == {*curated}
    for name, row in table.items():
        assert (row["reason"] == "") == (name in curated)
        assert name in curated or left_out[name]["reason"] == row["reason"]
        assert all(np.isfinite(float(row[indicator])) for indicator in INDICATORS)
    assert set(left_out) - set(table) == {"text.jpg", "tiny.bmp", "copy.jpg"}
    assert left_out["copy.jpg"]["reason"].startswith("near-duplicate of 00 astronaut.png")
    for row in curated.values():
        assert read_picture(chosen / row["file"]).shape == (*SIZE, 3)


def test_the_crops_are_those_of_curate(chosen, many, tmp_path):
    curate(CurateConfig(many, tmp_path / "all", size=SIZE))
    everything = digests(tmp_path / "all")
    for row in rows(chosen / "curated.csv").values():
        assert digests(chosen)[row["file"]] == everything[row["file"]]


def test_the_state_holds_the_counts_and_the_bound_and_is_reported(chosen, tmp_path):
    state = json.loads((chosen / STATE_FILE).read_text())["result"]
    table = rows(chosen / "indicators.csv")
    assert (state["photographs"], state["usable"], state["chosen"]) == (33, len(table), NUMBER)
    reasons = [row["reason"] for row in table.values()]
    assert state["trimmed"] == sum("standard deviations" in reason for reason in reasons)
    assert reasons.count("nearest to another chosen photograph") == state["selected"] - NUMBER == 2
    assert 0 < state["bound"] <= state["value"] and 0 <= state["gap"] < 0.5
    assert set(state["uniformity"]) == {*INDICATORS, "content"}
    means = [
        np.mean([one[which] for one in state["uniformity"].values()])
        for which in ("after", "random")
    ]
    assert means[0] > means[1]
    report_choosing.main([str(chosen), "--out", str(tmp_path / "choosing.csv")])
    reported = read_table(tmp_path / "choosing.csv", ("indicator", "before", "after", "hardware"))
    assert [row["indicator"] for row in reported] == [*INDICATORS, "content"]
    assert float(reported[0]["after"]) == state["uniformity"]["bitrate"]["after"]
    assert read_picture(tmp_path / "choosing.png").std() > 10
    with pytest.raises(InputError, match="is not that of a finished choice"):
        report_choosing.main([str(tmp_path), "--out", str(tmp_path / "other.csv")])


def test_one_worker_makes_the_same_bytes_and_a_second_run_changes_nothing(
    chosen, many, untrained, tmp_path, monkeypatch
):
    one = config(many, tmp_path / "one", untrained, num_workers=1)
    curate_diverse(one)
    assert digests(one.out) == digests(chosen)
    monkeypatch.setattr(module, "_run", None)  # nothing is measured again
    again = curate_diverse(config(many, chosen, untrained))
    assert again.curation.resumed == NUMBER
    assert digests(one.out) == digests(chosen)


@pytest.mark.parametrize("batches", [1, 5])
def test_a_run_stopped_while_it_measures_continues_to_the_same_bytes(
    chosen, many, untrained, tmp_path, monkeypatch, batches
):
    settings = config(many, tmp_path / "out", untrained, num_workers=1)
    original = module._run

    def stopped(*arguments):
        for number, done in enumerate(original(*arguments), 1):
            yield done
            if number == batches:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_run", stopped)
        with pytest.raises(KeyboardInterrupt):
            curate_diverse(settings)
    folder = settings.out / MEASURED_FOLDER
    there = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(there) >= batches and not (settings.out / "curated.csv").exists()
    (folder / ".indicators-0123.jsonl.9.tmp").write_text("half a fi")
    measured = []

    def counted(config_, todo, *rest):
        measured.extend(one for batch in todo for one in batch)
        return original(config_, todo, *rest)

    monkeypatch.setattr(module, "_run", counted)
    curate_diverse(settings)
    assert len(measured) <= 33 - 4 * batches
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())
    assert digests(settings.out) == digests(chosen)


def test_a_photograph_that_changed_is_measured_again_and_the_others_are_not(
    many, tmp_path, sample, monkeypatch, local_ray
):
    photos, folder = tmp_path / "photos", tmp_path / "measured"
    photos.mkdir()
    for path in sorted(many.glob("*.png")):
        os.link(path, photos / path.name)
    settings = CurateConfig(photos, tmp_path / "out", size=SIZE)
    names = sorted(path.name for path in photos.iterdir())
    before = module.measure(settings, names, folder)
    (photos / names[3]).unlink()
    cv2.imwrite(str(photos / names[3]), sample["china"])
    asked = []
    original = module._run

    def counted(config_, batches, *rest):
        asked.extend(one[0] for batch in batches for one in batch)
        return original(config_, batches, *rest)

    monkeypatch.setattr(module, "_run", counted)
    after = module.measure(settings, names, folder)
    assert asked == [names[3]]
    assert [a == b for a, b in zip(before, after, strict=True)].count(False) == 1
    assert before[3] != after[3]
    # Another size is measured beside it, and the first is still known.
    larger = CurateConfig(photos, tmp_path / "out", size=(85, 90))
    assert module.measure(larger, names, folder) != after
    asked.clear()
    assert module.measure(settings, names, folder) == after and not asked


def test_a_damaged_result_is_named(many, tmp_path, local_ray):
    settings = CurateConfig(many, tmp_path / "out", size=SIZE)
    names = ["text.jpg", "tiny.bmp"]
    found = module.measure(settings, names, tmp_path / "measured")
    assert all(isinstance(one, Rejected) for one in found)
    (path,) = (tmp_path / "measured").iterdir()
    path.write_text(path.read_text()[:-30])
    with pytest.raises(InputError, match=r"indicators-.*\.jsonl: is damaged; delete it"):
        module.measure(settings, names, tmp_path / "measured")


def test_a_full_disk_says_that_what_was_measured_is_kept(many, tmp_path, local_ray):
    (tmp_path / "measured").write_text("a file where the folder should be")
    settings = CurateConfig(many, tmp_path / "out", size=SIZE)
    with pytest.raises(OSError, match="run the same command again: what was measured is kept"):
        module.measure(settings, ["tiny.bmp"], tmp_path / "measured")


def test_a_worker_that_dies_again_and_again_is_named_with_its_photographs(
    many, tmp_path, local_ray, monkeypatch
):
    def dies(*_):
        os._exit(1)

    monkeypatch.setattr(module, "_measure_batch", dies)
    monkeypatch.setattr(module, "RETRIES", 0)
    settings = CurateConfig(many, tmp_path / "out", size=SIZE)
    with pytest.raises(OSError, match=r"measures text\.jpg \.\.\. tiny\.bmp died 1 times"):
        module.measure(settings, ["text.jpg", "tiny.bmp"], tmp_path / "measured")


@pytest.fixture
def quick(monkeypatch):
    """Features that need no network: the mean colour."""
    from mlsp.choosing import choose

    def deep_features(config, names, model, folder, *, progress=False):
        source = module.CroppedFiles(config, names)
        return np.stack([source.load(k).mean(axis=(0, 1)) for k in range(len(names))])

    monkeypatch.setattr(choose, "deep_features", deep_features)


def test_constant_indicators_play_no_part_and_are_named(
    many, untrained, tmp_path, sample, quick, local_ray, capsys
):
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(1)
    for k in range(12):
        image = list(sample.values())[k % 6]
        top, left = (int(rng.integers(0, side - 120)) for side in image.shape[:2])
        Image.fromarray(image[top : top + 100, left : left + 120]).save(photos / f"{k:02d}.png")
    found = curate_diverse(config(photos, tmp_path / "out", untrained, diverse=5), progress=True)
    assert found.constant == ("resolution", "jpeg_quality")
    assert len(found.curation.kept) == 5
    error = capsys.readouterr().err
    assert "resolution is the same in all photographs and plays no part" in error
    assert (tmp_path / "out" / "histograms.png").is_file()


def test_tags_leave_what_fills_their_quota(many, untrained, tmp_path, quick, local_ray):
    names = sorted(path.name for path in many.glob("[0-9]*"))
    table = tmp_path / "tags.csv"
    lines = [f"{name},{'rare;' if k < 4 else ''}all:{k / 100}" for k, name in enumerate(names[1:])]
    table.write_text("\n".join(["image,tags", *lines]) + "\n")
    settings = config(many, tmp_path / "out", untrained, diverse=6, tags=table, quota=14, spare=0.0)
    found = curate_diverse(settings)
    left_out = rows(settings.out / "rejected.csv")
    assert left_out[names[0]]["reason"] == "is not in tags.csv"
    filled = [n for n, row in left_out.items() if row["reason"].startswith("its tags have their")]
    assert len(filled) == 29 - 14
    assert found.usable <= 14 and len(found.curation.kept) == 6
    few = config(many, tmp_path / "few", untrained, diverse=2, tags=table, candidates=5, spare=0.0)
    assert curate_diverse(few).usable <= 5
    table.write_text("image,tags\nother.jpg,beach\n")
    with pytest.raises(InputError, match="names no tag of a photograph"):
        curate_diverse(config(many, tmp_path / "no", untrained, tags=table, quota=3))


def test_too_few_photographs_say_how_many_there_are_and_the_next_try_uses_what_was_measured(
    many, untrained, tmp_path, quick, monkeypatch, local_ray
):
    with pytest.raises(InputError, match=r"only (\d+) of its 33 .* --diverse \1 at most") as error:
        curate_diverse(config(many, tmp_path / "out", untrained, diverse=33))
    most = int(str(error.value).split("only ")[1].split()[0])
    monkeypatch.setattr(module, "_run", None)
    found = curate_diverse(config(many, tmp_path / "out", untrained, diverse=most))
    assert len(found.curation.kept) == most == found.selected
    with pytest.raises(InputError, match="was chosen with diverse"):
        curate_diverse(config(many, tmp_path / "out", untrained, diverse=3))


def test_other_folders_and_damaged_states_are_refused(many, untrained, tmp_path, local_ray):
    curate(CurateConfig(many, tmp_path / "plain", size=SIZE))
    before = digests(tmp_path / "plain")
    with pytest.raises(InputError, match="is not a choice of photographs"):
        curate_diverse(config(many, tmp_path / "plain", untrained))
    assert digests(tmp_path / "plain") == before
    write_atomically(tmp_path / "bad" / STATE_FILE, "{}")
    with pytest.raises(InputError, match=r"choosing\.json: is damaged"):
        curate_diverse(config(many, tmp_path / "bad", untrained))


def test_a_finished_choice_is_not_overwritten_when_a_photograph_has_changed(
    many, untrained, tmp_path, quick, local_ray
):
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted(many.glob("[0-9]*")):
        os.link(path, photos / path.name)
    settings = config(photos, tmp_path / "out", untrained)
    kept = curate_diverse(settings).curation.kept
    before = digests(settings.out)
    name = kept[0].photograph
    (photos / name).unlink()
    Image.new("RGB", (140, 120), (9, 9, 9)).save(photos / name)
    with pytest.raises(InputError, match="was curated from other photographs"):
        curate_diverse(settings)
    assert digests(settings.out) == before


def test_extremes_are_trimmed_in_one_pass():
    values = np.tile(np.arange(30.0)[:, None], (1, len(INDICATORS)))
    values[:, 2] = 100  # constant
    values[7, 4] = 1000
    why = trimming(values)
    assert [k for k, reason in enumerate(why) if reason] == [7]
    score = (1000 - values[:, 4].mean()) / values[:, 4].std(ddof=1)
    assert why[7] == f"colorfulness is {score:+.2f} standard deviations from the mean"
    assert trimming(values[:1]) == [""]


def test_uniformity_is_one_for_level_histograms_and_zero_for_one_bin():
    assert uniformity(np.arange(8) % 4, 4) == pytest.approx(1)
    assert uniformity(np.zeros(5, int), 4) == 0
    assert uniformity(np.zeros(5, int), 1) == 1
    assert 0 < uniformity(np.array([0, 0, 1]), 4) < 0.5


MISTAKES = [
    ("--diverse 0", "--diverse 0: must be at least 1"),
    ("--diverse 3 --bins 0", "--bins 0: must be at least 1"),
    ("--diverse 3 --spare -1", "--spare -1.0: give a share"),
    ("--diverse 3 --seed -1", "--seed -1: must be at least 0"),
    ("--diverse 3 --quota 4", "--tags needs --quota or --candidates, and they need --tags"),
    ("--diverse 3 --tags tags.csv", "--tags needs --quota or --candidates"),
    ("--diverse 3 --tags tags.csv --quota 4", "tags.csv: cannot be read"),
    ("--diverse 3 --measured photographs/in", "is inside the photographs' folder"),
    ("--diverse 3 --measured out/../out", "is --out; give another folder"),
    ("--diverse 3 --measured file", "file: is a file; give a folder"),
    ("--diverse 3 --model gone", "gone"),
    ("--diverse 3 --size 0 9", "--size 0 9: give pixels"),
    ("--bins 20", "--bins: means something only with --diverse K"),
    ("--seed 5", "--seed: means something only with --diverse K"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_one_line_and_leaves_nothing(
    photographs, tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["curate", "photographs", "--out", "out", *options.split()]) == 2
    error = capsys.readouterr().err
    last = error.strip().splitlines()[-1]
    assert last.startswith("deepfl curate: ") and message in last, error
    assert sorted(tmp_path.rglob("*")) == before
