"""Generation through Ray: the same bytes on any number of workers and after any interruption."""

import hashlib
import importlib.metadata
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import grain
import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from folder_digests import digests

from deepfl.program import main
from distortions import distort
from fr_metrics import METRICS, HistogramEqualization, score_all
from mtl.curation.pristine import pristine_crop
from mtl.kadis.generate import generate
from mtl.kadis.manifest import read_manifest
from mtl.kadis.origins import SCORE_TOLERANCE
from mtl.kadis.plan import GenerateConfig
from mtl.kadis.records import DataSet
from mtl.kadis.shards import NAME
from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture
from mtl.training.multitask.data import ScoredImages

pytestmark = pytest.mark.usefixtures("local_ray")

SIZE = (96, 128)
METRIC_NAMES = ("ssim", "gmsd")


def config(photographs: Path, out: Path, **changes) -> GenerateConfig:
    settings = {"size": SIZE, "metrics": METRIC_NAMES, "shards": 4, "validation": 0.3}
    return GenerateConfig(photographs, out, **{**settings, "license": "CC0", **changes})


@pytest.fixture(scope="module")
def made(tmp_path_factory, sample, local_ray):
    """A data set with one bad picture among six good ones."""
    root = tmp_path_factory.mktemp("kadis")
    photographs = root / "photographs"
    photographs.mkdir()
    for name, image in sample.items():
        cv2.imwrite(str(photographs / f"{name}.png"), image[..., ::-1])
    whole = cv2.imencode(".jpg", sample["china"])[1].tobytes()
    (photographs / "cut.jpg").write_bytes(whole[: len(whole) // 2])  # its header is sound
    (photographs / "text.jpg").write_text("no picture")
    summary = generate(config(photographs, root / "out", num_workers=2))
    return photographs, root / "out", summary


def test_counts_and_what_was_left_out(made):
    _, out, summary = made
    assert sum(summary.images.values()) == 6 * 5
    assert summary.made == 4 and summary.resumed == 0
    tally = summary.tally
    assert (tally.images, tally.rejected) == (30, 1)  # the other was found by its header
    assert sum(images for images, _ in tally.types.values()) == 30
    assert set(tally.seconds) == {"start", "read", "distort", "score", "encode", "write"}
    assert all(seconds > 0 for seconds in tally.seconds.values())
    assert 1e8 < tally.peak_memory < 1.5e9
    assert {r.file for r in summary.rejected} == {"cut.jpg", "text.jpg"}
    manifest = read_manifest(out)
    assert manifest["plan"]["score_tolerance"] == SCORE_TOLERANCE == 1e-4
    assert {r["file"] for r in manifest["rejected"]} == {"cut.jpg", "text.jpg"}
    assert all("\n" not in r["reason"] for r in manifest["rejected"])


def test_the_data_set_opens_with_tfds_and_without_tensorflow(made):
    photographs, out, _ = made
    builder = tfds.builder_from_directory(str(out))
    references = {}
    for split in ("train", "validation"):
        source = builder.as_data_source(split)
        assert len(source) == builder.info.splits[split].num_examples
        references[split] = set()
        for record in source:
            name = record["reference"].decode()
            references[split].add(name)
            pristine = pristine_crop(read_picture(photographs / name), SIZE)
            expected = distort(
                pristine, int(record["distortion"]), int(record["level"]), seed=int(record["seed"])
            )
            assert np.array_equal(record["image"], expected)
            scores = score_all(pristine, expected, METRIC_NAMES)
            for metric in METRIC_NAMES:
                assert record["scores"][metric] == pytest.approx(float(scores[metric]), abs=1e-5)
    assert not references["train"] & references["validation"]
    assert "tensorflow" not in sys.modules


def test_plain_grain_reads_the_records_too(made):
    _, out, _ = made
    builder = tfds.builder_from_directory(str(out))
    files = [str(path) for path in sorted(out.glob(f"{NAME}-train.array_record-*"))]
    decoded = grain.MapDataset.source(grain.sources.ArrayRecordDataSource(files)).map(
        builder.info.features.deserialize_example_np
    )
    expected = builder.as_data_source("train")
    assert len(decoded) == len(expected) > 0
    for one, two in zip(decoded, expected, strict=True):
        assert np.array_equal(one["image"], two["image"])
        assert one["reference"] == two["reference"] and one["scores"] == two["scores"]


def test_dataset_info_says_what_the_data_set_is(made):
    _, out, _ = made
    info = json.loads((out / "dataset_info.json").read_text())
    assert "DeepFL-IQA: Weak Supervision" in info["citation"]
    assert "Recipe: kadis, 1 of 25 distortion types per photograph" in info["description"]
    assert f"Made by: deepfl-iqa {importlib.metadata.version('deepfl-iqa')}" in info["description"]
    assert info["redistributionInfo"]["license"] == "CC0"
    sizes = {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]}
    assert sizes == {"train": 20, "validation": 10}


@pytest.fixture(scope="module")
def recipe(made, tmp_path_factory):
    """The data set of `made` with the store `recipe`."""
    out = tmp_path_factory.mktemp("recipe") / "out"
    generate(config(made[0], out, store="recipe"))
    return out


def test_the_store_recipe_gives_the_same_images_from_less_space(made, recipe):
    _, out, _ = made
    one, two = DataSet(out), DataSet(recipe)
    assert (one.store, two.store) == ("pixels", "recipe")
    assert (one.size, one.metrics, one.splits) == (two.size, two.metrics, two.splits)
    for split in one.splits:
        assert one.number_of_images(split) == two.number_of_images(split) > 0
        for k in range(one.number_of_images(split)):
            a, b = one.image(split, k), two.image(split, k)
            assert np.array_equal(a.image, b.image)
            assert (a.reference, a.version, a.scores) == (b.reference, b.version, b.scores)
    assert (out / "equalization.json").read_bytes() == (recipe / "equalization.json").read_bytes()
    pixels, crops = (
        sum(len(bytes(record)) for path in folder.glob(f"{NAME}-*") for record in raw(path))
        for folder in (out, recipe)
    )
    assert crops < pixels / 3  # five versions; milder ones compress like the crop


def test_the_input_pipeline_reads_both_stores(made, recipe):
    _, out, _ = made
    metrics = METRIC_NAMES
    one, two = (ScoredImages(folder, "train", metrics, None) for folder in (out, recipe))
    assert len(one) == len(two) == 20
    for k in range(len(one)):
        assert np.array_equal(one[k]["image"], two[k]["image"])
        assert np.array_equal(one[k]["target"], two[k]["target"])


def raw(path: Path) -> list[bytes]:
    reader = ArrayRecordReader(str(path))
    records = reader.read_all()
    reader.close()
    return records


def test_every_shard_has_its_stats_and_they_agree(made):
    _, out, _ = made
    shards = read_manifest(out)["plan"]["shards"]
    assert len(list((out / "stats").iterdir())) == len(shards) == 4
    for shard in shards:
        stats = json.loads((out / "stats" / f"{shard['index']:05d}.json").read_text())
        file = out / shard["file"]
        assert file.name.startswith(f"{NAME}-{shard['split']}.array_record-")
        assert stats["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        reader = ArrayRecordReader(str(file))
        assert reader.num_records() == len(stats["records"])
        reader.close()


def test_the_equalisation_is_fitted_on_the_training_split_only(made):
    _, out, _ = made
    training = []
    for path in sorted((out / "stats").iterdir()):
        stats = json.loads(path.read_text())
        if stats["split"] == "train":
            training += [record["scores"] for record in stats["records"]]
    again = HistogramEqualization.fit({m: [s[m] for s in training] for m in METRIC_NAMES})
    assert (out / "equalization.json").read_text() == again.to_json()
    assert set(METRIC_NAMES) <= set(METRICS)


@pytest.mark.parametrize("workers", [1, 6])
def test_any_number_of_workers_writes_the_same_bytes(made, tmp_path, workers):
    photographs, out, _ = made
    generate(config(photographs, tmp_path / "again", num_workers=workers))
    assert digests(tmp_path / "again") == digests(out)


def test_a_second_run_changes_nothing(made):
    photographs, out, _ = made
    before = digests(out)
    summary = generate(config(photographs, out))
    assert (summary.made, summary.resumed, summary.tally.images) == (0, 4, 0)
    assert digests(out) == before


def test_a_lost_shard_is_made_again(made, tmp_path):
    photographs, out, _ = made
    before = digests(out)
    (out / "stats" / "00002.json").unlink()
    (out / f".{NAME}-train.array_record-00002-of-00003.77.tmp").write_bytes(
        b"left by a dead worker"
    )
    summary = generate(config(photographs, out))
    assert (summary.made, summary.resumed) == (1, 3)
    assert digests(out) == before


def test_a_truncated_shard_is_found(made):
    photographs, out, _ = made
    file = next(out.glob(f"{NAME}-train*"))
    data = file.read_bytes()
    try:
        file.write_bytes(data[:100])
        with pytest.raises(InputError, match=rf"{file.name}: is missing or truncated"):
            generate(config(photographs, out))
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(InputError, match=rf"{file.name}: was changed since it was made"):
            generate(config(photographs, out))
    finally:
        file.write_bytes(data)


def test_another_plan_is_not_mixed_in(made, tmp_path):
    photographs, out, _ = made
    with pytest.raises(InputError, match="other photographs or settings"):
        generate(config(photographs, out, seed=1))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="not a data set"):
        generate(config(photographs, tmp_path))
    assert (tmp_path / "file").read_text() == "mine"


def test_when_nothing_can_be_decoded_nothing_is_left_behind(tmp_path, sample):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    whole = cv2.imencode(".jpg", sample["china"])[1].tobytes()
    (photographs / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"none of its pictures could be decoded.*cut\.jpg"):
        generate(config(photographs, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_killed_run_continues_and_ends_in_the_same_bytes(made, tmp_path, capsys):
    photographs, out, _ = made
    arguments = [
        *("generate", str(photographs)),
        *("--out", str(tmp_path / "out"), "--size", *map(str, SIZE), "--metrics", *METRIC_NAMES),
        *("--shards", "4", "--validation", "0.3", "--num-workers", "1", "--license", "CC0"),
    ]
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "deepfl", *arguments]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 120
        while not list((tmp_path / "out").glob("stats/*.json")):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = len(list((tmp_path / "out").glob("stats/*.json")))
    assert main(arguments) == 0
    told = capsys.readouterr().err
    assert "deepfl train --data" in told and "shards" in told
    assert done < 4 or "4 were there" in told
    assert digests(tmp_path / "out") == digests(out)
