"""Verification: a sound data set passes, and every kind of damage is found and named."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader
from folder_digests import digests
from tensorflow_datasets.proto import tf_example_pb2

from deepfl.commands.verify import SHOWN, summary
from deepfl.program import main
from mtl.kadis.generate import generate
from mtl.kadis.manifest import read_manifest
from mtl.kadis.plan import GenerateConfig
from mtl.kadis.shards import Shard, ShardWriter, finish_shard
from mtl.kadis.verification.findings import Check, Problem
from mtl.kadis.verification.verify import Verification, VerifyConfig, verify
from mtl.runtime.files import InputError
from mtl.runtime.pictures import encode_png

SIZE = (96, 128)
SHARDS = 4
IMAGES = 6 * 5

Stored = tuple[list[tf_example_pb2.Example], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory, sample, local_ray) -> Path:
    """Photographs with a bad one among six, and a data set of them in either store."""
    root = tmp_path_factory.mktemp("verify")
    photographs = root / "photographs"
    photographs.mkdir()
    for name, image in sample.items():
        cv2.imwrite(str(photographs / f"{name}.bmp"), image[..., ::-1])
    whole = cv2.imencode(".jpg", sample["china"])[1].tobytes()
    (photographs / "cut.jpg").write_bytes(whole[: len(whole) // 2])  # its header is sound
    for store in ("pixels", "recipe"):
        generate(config(photographs, root / store, store=store))
    return root


def config(photographs: Path, out: Path, **changes) -> GenerateConfig:
    settings = {
        "size": SIZE,
        "metrics": ("ssim", "gmsd"),
        "types": ("gaussian_blur", "jpeg", "white_noise"),
        "shards": SHARDS,
        "validation": 0.3,
        "num_workers": 1,
        **changes,
    }
    return GenerateConfig(photographs, out, **settings)


@pytest.fixture
def data(made, tmp_path) -> Path:
    """A copy of the data set, to be damaged."""
    return shutil.copytree(made / "pixels", tmp_path / "data")


def shard(data: Path, index: int) -> Shard:
    found = read_manifest(data)["plan"]["shards"][index]
    return Shard(**found | {"references": tuple(found["references"])})


def file(data: Path, index: int) -> Path:
    return data / shard(data, index).file


def stats(data: Path, index: int) -> Path:
    return data / "stats" / f"{index:05d}.json"


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    """Change what a JSON file says."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def stored(data: Path, index: int) -> Stored:
    """The records of a shard, and what its stats file says of them."""
    reader = ArrayRecordReader(str(file(data, index)))
    examples = [tf_example_pb2.Example.FromString(record) for record in reader.read_all()]
    reader.close()
    return examples, json.loads(stats(data, index).read_text())["records"]


def forge(data: Path, index: int, examples: list[tf_example_pb2.Example], rows: list) -> None:
    """Write a shard of other records, with stats that fit."""
    rejected = json.loads(stats(data, index).read_text())["rejected"]
    with ShardWriter(data, shard(data, index)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    finish_shard(data, shard(data, index), rows, rejected)


def set_score(data: Path, index: int, value: float) -> None:
    examples, rows = stored(data, index)
    examples[2].features.feature["scores/ssim"].float_list.value[0] = value
    rows[2]["scores"]["ssim"] = float(np.float32(value))
    forge(data, index, examples, rows)


def set_image(data: Path, index: int, change: Callable[[np.ndarray], np.ndarray | bytes]) -> None:
    examples, rows = stored(data, index)
    png = examples[2].features.feature["image"].bytes_list
    decoded = cv2.imdecode(np.frombuffer(png.value[0], np.uint8), cv2.IMREAD_COLOR)
    changed = change(np.ascontiguousarray(decoded[..., ::-1]))
    png.value[0] = changed if isinstance(changed, bytes) else encode_png(changed)
    forge(data, index, examples, rows)


def check(found: Verification, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


@pytest.mark.parametrize("store", ["pixels", "recipe"])
def test_a_sound_data_set_passes_and_is_not_touched(made, store):
    before = digests(made / store)
    found = verify(VerifyConfig(made / store, sample=10**9, num_workers=2))
    assert found.problems == () and found.notes == ()
    assert {check.wrong for check in found.checks} == {0}
    assert found.images == IMAGES
    assert check(found, "records").what == f"{IMAGES} of {IMAGES} images decoded"
    assert check(found, "sample").what.startswith(f"{IMAGES} images distorted and scored")
    assert check(found, "plan").what == f"7 photographs in {SHARDS} shards"
    assert digests(made / store) == before


# Damage to shard files and their stats: what is done, which shards are to be named, what is said.


def truncate(data):
    path = file(data, 1)
    path.write_bytes(path.read_bytes()[:-1000])


def empty(data):
    file(data, 1).write_bytes(b"")


def remove(data):
    file(data, 1).unlink()


def flip(data):
    path = file(data, 1)
    content = bytearray(path.read_bytes())
    place = content.index(b"IDAT", len(content) // 4) + 100
    content[place] ^= 1
    path.write_bytes(content)


def swap(data):
    one, other = file(data, 0), file(data, 1)
    both = one.read_bytes(), other.read_bytes()
    one.write_bytes(both[1])
    other.write_bytes(both[0])


def lose_stats(data):
    stats(data, 1).unlink()


def garble_stats(data):
    stats(data, 1).write_text("{")


def swap_stats(data):
    shutil.copy(stats(data, 0), stats(data, 1))


def edit_score(data):
    rewrite(stats(data, 1), lambda s: s["records"][2]["scores"].update(ssim=0.125))


def edit_reference(data):
    rewrite(stats(data, 1), lambda s: s["records"][2].update(reference="other.png"))


def edit_rejected(data):
    rewrite(stats(data, 1), lambda s: s["rejected"].append({"file": "mine.jpg", "reason": "ugly"}))


def repeat(data):
    examples, rows = stored(data, 1)
    forge(data, 1, [*examples, examples[2]], [*rows, rows[2]])


def drop(data):
    examples, rows = stored(data, 1)
    forge(data, 1, examples[:-1], rows[:-1])


def reorder(data):
    examples, rows = stored(data, 1)
    forge(data, 1, examples[::-1], rows[::-1])


def reseed(data):
    examples, rows = stored(data, 1)
    examples[2].features.feature["seed"].int64_list.value[0] = 5
    rows[2]["seed"] = 5
    forge(data, 1, examples, rows)


def lose_number(data):
    set_score(data, 1, float("nan"))


def shrink(data):
    set_image(data, 1, lambda image: image[:-1].copy())


def garble_image(data):
    set_image(data, 1, lambda image: b"no picture")


def leak(data):
    examples, rows = stored(data, 3)
    others, other_rows = stored(data, 0)
    forge(data, 3, [*examples, *others[:5]], [*rows, *other_rows[:5]])


DAMAGES = [
    (truncate, "checksums", {1}, r"has [\d,]+ bytes where it had [\d,]+; \w+ Riegeli"),
    (empty, "checksums", {1}, r"has 0 bytes where it had [\d,]+"),
    (remove, "checksums", {1}, "is missing"),
    (flip, "checksums", {1}, "its SHA-256 is not the one in its stats file"),
    (flip, "records", {1}, r"records that cannot be read: 1, first number \d+ \(Corrupted"),
    (swap, "checksums", {0, 1}, "SHA-256|bytes"),
    (swap, "records", {0, 1}, "images that are not planned for it: [15]"),
    (lose_stats, "stats", {1}, r"stats/00001\.json is missing; run the same"),
    (garble_stats, "stats", {1}, r"stats/00001\.json is damaged; delete \S+stats/00001\.json"),
    (swap_stats, "stats", {1}, r"stats/00001\.json is that of kadis-train\S+-00000-of"),
    (edit_score, "stats", {1}, r"otherwise: 1, first \S+ .* level 3, ssim 0.125 instead of 0\."),
    (edit_reference, "stats", {1}, r"otherwise: 1, first other\.png .* instead of "),
    (edit_rejected, "stats", {1}, r"left out otherwise than in the manifest: 1, first mine\.jpg"),
    (repeat, "records", {1}, r"images that are there twice: 1, first \S+ \S+ level 3"),
    (drop, "records", {1}, r"images that are missing: 1, first \S+ \S+ level 5"),
    (reorder, "records", {1}, "not in the order of the plan"),
    (reseed, "records", {1}, "not planned for it: 1, .*images that are missing: 1"),
    (lose_number, "records", {1}, "scores that are not finite: 1, .* level 3, ssim"),
    (shrink, "records", {1}, r"number 2 \(an image of shape \(95, 128, 3\)\)"),
    (garble_image, "records", {1}, r"records that cannot be read: 1, first number 2"),
    (leak, "records", {3}, "images that are not planned for it: 5"),
    (leak, "split", {3}, "references that are on the other side of the split too: 1"),
]


@pytest.mark.parametrize(
    ("damage", "name", "shards", "message"),
    DAMAGES,
    ids=[f"{d[0].__name__}-{d[1]}" for d in DAMAGES],
)
def test_damage_to_a_shard_is_found_and_the_shard_named(data, damage, name, shards, message):
    damage(data)
    found = verify(VerifyConfig(data, sample=0, num_workers=2))
    assert {problem.file for problem in found.problems} == {file(data, k).name for k in shards}
    assert check(found, name).wrong == len(shards)
    for problem in found.problems:
        assert re.search(message, str(problem)), str(problem)
        assert problem.remedy.endswith("run the same `deepfl generate` again")
    if 3 not in shards:
        assert check(found, "equalisation").wrong is None


# Damage to the files that describe the data set: what is done, which file is to be named.


def other_equalization(data):
    rewrite(data / "equalization.json", lambda e: e["curves"]["gmsd"]["scores"].__setitem__(0, -1))


def no_equalization(data):
    (data / "equalization.json").unlink()


def other_length(data):
    path = data / "dataset_info.json"
    rewrite(path, lambda info: info["splits"][0]["shardLengths"].__setitem__(1, "4"))


def other_bytes(data):
    rewrite(data / "dataset_info.json", lambda info: info["splits"][0].update(numBytes="4"))


def other_splits(data):
    rewrite(data / "dataset_info.json", lambda info: info["splits"].pop())


def other_files(data):
    template = "{DATASET}-other.{FILEFORMAT}-{SHARD_X_OF_Y}"
    rewrite(
        data / "dataset_info.json", lambda info: info["splits"][0].update(filepathTemplate=template)
    )


def garbled_info(data):
    (data / "dataset_info.json").write_text("{")


def no_features(data):
    (data / "features.json").unlink()


def other_features(data):
    features = data / "features.json"
    features.write_text(features.read_text().replace('"gmsd"', '"vsi"'))


def stray_shard(data):
    shutil.copy(file(data, 0), data / "kadis-train.array_record-00003-of-00009")


def stray_stats(data):
    shutil.copy(stats(data, 0), data / "stats" / "00009.json")


FILES = [
    (other_equalization, "equalization.json", "is not the equalisation of the training split's"),
    (no_equalization, "equalization.json", "is missing; run the same `deepfl generate` again"),
    (other_length, "dataset_info.json", r"train: \d+ records in kadis-train\S+00001-of-\S+, not 4"),
    (other_bytes, "dataset_info.json", "train: [0-9,]+ bytes, not 4;"),
    (other_splits, "dataset_info.json", "validation: 1 files, not 0"),
    (other_files, "dataset_info.json", "cannot be opened as a TFDS data set"),
    (garbled_info, "dataset_info.json", "cannot be opened as a TFDS data set"),
    (no_features, "dataset_info.json", "cannot be opened as a TFDS data set"),
    (other_features, "dataset_info.json", "other features than the plan's"),
    (stray_shard, "kadis-train.array_record-00003-of-00009", "does not belong .*; delete "),
    (stray_stats, "stats/00009.json", "does not belong to this data set; delete "),
]


@pytest.mark.parametrize(("damage", "name", "message"), FILES, ids=[f[0].__name__ for f in FILES])
def test_damage_to_what_describes_the_data_set_is_found(data, damage, name, message):
    damage(data)
    found = verify(VerifyConfig(data, sample=0))
    (problem,) = found.problems
    assert problem.file == name and re.search(message, str(problem)), str(problem)
    assert sum(bool(check.wrong) for check in found.checks) == 1


def swap_sides(plan):
    train, validation = plan["shards"][0]["references"], plan["shards"][3]["references"]
    train[0], validation[0] = validation[0], train[0]


PLANS = [
    (lambda m: swap_sides(m["plan"]), "photographs that the seed puts in the other split: 2"),
    (lambda m: m["plan"]["shards"][0]["references"].pop(), "not in exactly one shard: 1, first"),
    (
        lambda m: m["plan"]["shards"][3]["references"].append(
            m["plan"]["shards"][0]["references"][0]
        ),
        "not in exactly one shard: 1, first .*in the other split: 1",
    ),
    (lambda m: m["plan"]["shards"][0].update(index=7), "not numbered one after the other"),
    (lambda m: m["plan"].update(seed=1), "in the other split"),
    (lambda m: m["plan"]["photographs"].update(a=1), "not in exactly one shard: 1, first a$"),
]


@pytest.mark.parametrize(("change", "message"), PLANS, ids=[p[1] for p in PLANS])
def test_a_plan_that_contradicts_itself_is_found(data, change, message):
    rewrite(data / "manifest.json", change)
    found = verify(VerifyConfig(data, sample=0))
    problem = next(problem for problem in found.problems if problem.file == "manifest.json")
    assert re.search(message, problem.what) and "anew, in another folder" in problem.remedy
    assert check(found, "plan").wrong


def test_a_reference_that_is_planned_for_both_sides_is_a_leak(data):
    examples, rows = stored(data, 3)
    others, other_rows = stored(data, 0)
    name = other_rows[0]["reference"]
    rewrite(data / "manifest.json", lambda m: m["plan"]["shards"][3]["references"].append(name))
    forge(data, 3, [*examples, *others[:5]], [*rows, *other_rows[:5]])
    found = verify(VerifyConfig(data, sample=0))
    leaks = [p.file for p in found.problems if f"the split too: 1, first {name}" in p.what]
    assert leaks == [file(data, 0).name, file(data, 3).name]


# The sample: what only making an image again can find.


def test_forged_pixels_are_found(data):
    def brighter(image):
        changed = image.copy()
        changed[40, 50, 1] ^= 16
        return changed

    set_image(data, 1, brighter)
    found = verify(VerifyConfig(data, sample=IMAGES))
    (problem,) = found.problems
    assert f"what {file(data, 1).name} holds of it" in problem.what
    assert re.search(r"level 3, made again, is up to 16 grey levels away", problem.what)
    assert str(stats(data, 1)) in problem.remedy and check(found, "sample").wrong == 1
    assert verify(VerifyConfig(data, sample=0)).problems == ()


def test_a_forged_score_is_found(data):
    before = stored(data, 3)[1][2]["scores"]["ssim"]
    set_score(data, 3, before - 0.001)
    found = verify(VerifyConfig(data, sample=IMAGES))
    (problem,) = found.problems
    assert problem.file == file(data, 3).name
    assert f"ssim stored as {before - 0.001:.6g}, computed as {before:.6g}" in problem.what
    set_score(data, 3, before + 1e-5)  # another processor's rounding
    assert verify(VerifyConfig(data, sample=IMAGES)).problems == ()


@pytest.mark.parametrize("store", ["pixels", "recipe"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-3]), r"china.bmp: has [\d,]+ bytes, and had"),
        (
            lambda p: p.write_bytes(p.read_bytes()[:5000] + p.read_bytes()[5000:][::-1]),
            r"china.bmp: does not give what kadis-\S+ holds of it: .* grey levels away; put the",
        ),
        (
            lambda p: p.write_bytes(b"x" * p.stat().st_size),
            r"china.bmp: is not a picture.*; put the photograph back",
        ),
        (
            lambda p: p.unlink(),
            "photographs of the sample that are not there: 1, first china.bmp; put them back",
        ),
    ],
    ids=["shorter", "replaced", "garbled", "gone"],
)
def test_a_photograph_that_is_not_what_it_was_is_named(made, tmp_path, store, change, message):
    photographs = shutil.copytree(made / "photographs", tmp_path / "photographs")
    change(photographs / "china.bmp")
    found = verify(VerifyConfig(made / store, photos=photographs, sample=IMAGES))
    (problem,) = found.problems
    assert re.search(message, str(problem)), str(problem)
    number = re.match(r"(\d+) images", check(found, "sample").what)[1]
    # The recipe's crops are there whatever became of the photographs.
    lost = store == "pixels" and "does not give" not in problem.what
    assert int(number) == (IMAGES - 5 if lost else IMAGES)


@pytest.mark.parametrize(
    ("store", "wrong", "what"),
    [
        ("pixels", None, "needs the photographs: give their folder, --photos"),
        ("recipe", 0, "7 images distorted and scored again, not from the photographs"),
    ],
)
def test_without_the_photographs_it_says_what_was_not_checked(made, tmp_path, store, wrong, what):
    data = shutil.copytree(made / store, tmp_path / "data")
    (data / "photographs.txt").write_text(f"{tmp_path / 'gone'}\n")
    found = verify(VerifyConfig(data, sample=7))
    assert found.problems == ()
    assert check(found, "sample").wrong == wrong and what in check(found, "sample").what
    found = verify(VerifyConfig(data, photos=made / "photographs", sample=7, seed=3))
    assert check(found, "sample") == Check("sample", "7 images distorted and scored again", 0)


def test_what_a_stopped_run_left_is_a_note(data):
    (data / ".kadis-train.array_record-00000-of-00003.77.tmp").write_bytes(b"half")
    (data / "stats" / ".00001.json.77.tmp").write_bytes(b"{")
    (data / "notes.txt").write_text("mine")
    found = verify(VerifyConfig(data, sample=0))
    assert found.problems == ()
    assert len(found.notes) == 2
    assert "temporary files" in found.notes[0] and ": 2, first .kadis-train" in found.notes[0]
    assert "other files in the folder: 1, first notes.txt" in found.notes[1]


def test_what_is_named_can_be_made_again(made, data):
    before = digests(made / "pixels")
    truncate(data)
    leak(data)
    other_length(data)
    found = verify(VerifyConfig(data, sample=0))
    assert len(found.problems) == 3
    for problem in found.problems:
        for name in re.findall(r"delete (\S+)", problem.remedy):
            Path(name).unlink()
    summary = generate(config(made / "photographs", data))
    assert (summary.made, summary.resumed) == (2, 2)
    assert digests(data) == before
    assert verify(VerifyConfig(data)).problems == ()


# The command.


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "deepfl", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_that_nothing_is_wrong(made):
    done = run(made / "pixels", "--sample", "3")
    assert done.returncode == 0, done.stderr
    *table, verdict = done.stdout.splitlines()
    assert verdict == f"{made / 'pixels'}: {IMAGES} images; nothing wrong"
    assert [line.split()[-1] for line in table] == ["ok"] * 9
    assert len({line.rindex(" ") for line in table}) == 1
    assert "img/s" in done.stderr and "Warning" not in done.stderr


def test_the_command_names_the_shard_and_ends_with_code_1(data):
    truncate(data)
    done = run(data, "--sample", "0")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"checksums .* 1 WRONG$", next(x for x in lines if x.startswith("checksums")))
    assert lines[-1].endswith("images; PROBLEMS: 1, see above")
    assert lines[-2].startswith(f"{file(data, 1).name}: has ")
    assert lines[-2].endswith(f"delete {stats(data, 1)} and run the same `deepfl generate` again")
    assert "Traceback" not in done.stderr


def test_many_problems_are_counted(made):
    many = tuple(Problem(f"{k}.json", "is damaged", "mend it") for k in range(SHOWN + 5))
    lines = summary(Verification(made, 3, (Check("stats", "25 files", 25),), many, ()))
    assert lines[1] == "0.json: is damaged; mend it"
    assert lines[-2] == "and 5 more problems" and len(lines) == 1 + SHOWN + 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("gone", "gone: is not a data set"),
        ("photographs", "photographs: is not a data set"),
        ("unfinished", "unfinished: is unfinished"),
        ("damaged", "manifest.json: is damaged"),
        ("sound --sample -1", "--sample and --seed must be at least 0"),
        ("sound --num-workers 0", "--num-workers 0: must be at least 1"),
        ("sound --photos gone", "gone: no such folder"),
    ],
)
def test_a_mistake_is_one_line(made, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photographs").mkdir()
    for name in ("sound", "unfinished", "damaged"):
        (tmp_path / name).mkdir()
        shutil.copy(made / "pixels" / "manifest.json", tmp_path / name)
    rewrite(tmp_path / "unfinished" / "manifest.json", lambda m: m.update(complete=False))
    rewrite(tmp_path / "damaged" / "manifest.json", lambda m: m["plan"].pop("size"))
    assert main(["verify", *arguments.split()]) == 2
    shown = capsys.readouterr()
    assert message in shown.err.splitlines()[-1] and not shown.out


ENTRIES = (
    *("recipe", "types", "types_per_reference", "levels", "size", "metrics", "validation"),
    *("store", "photographs", "contents", "shards"),
)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_plan_that_makes_no_sense_is_refused(data, entry):
    for value in (None, [], ["psnr"], "x", 99):
        rewrite(data / "manifest.json", lambda m, v=value: m["plan"].update({entry: v}))
        with pytest.raises(InputError, match=r"manifest\.json: is damaged"):
            verify(VerifyConfig(data))


def test_an_imported_data_set_is_held_against_its_stats(data):
    """Its versions follow from no plan, and it cannot be made again."""
    imported = {"recipe": "published", "table": "0", "distorted": "1"}
    rewrite(data / "manifest.json", lambda m: m["plan"].update(imported))
    examples, rows = stored(data, 3)
    forge(data, 3, examples[:-1], rows[:-1])
    rewrite(
        data / "dataset_info.json",
        lambda info: info["splits"][1].update(
            shardLengths=[str(len(rows) - 1)],
            numBytes=str(sum(f.stat().st_size for f in data.glob("kadis-validation.*"))),
        ),
    )
    found = verify(VerifyConfig(data))
    assert found.problems == () and found.images == IMAGES - 1
    assert check(found, "sample") == Check("sample", "imported images cannot be made again", None)
    repeat(data)
    edit_score(data)
    (problem,) = verify(VerifyConfig(data)).problems
    assert re.search("there twice: 1, .*otherwise: 1, first .* ssim 0.125 instead", problem.what)
    assert problem.remedy.endswith("run the same `deepfl import-scores` again")
