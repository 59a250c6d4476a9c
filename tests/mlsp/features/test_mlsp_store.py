"""A feature folder belongs to the contents of its pictures, not to their names."""

import errno
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mlsp.choosing import measuring
from mlsp.choosing.measuring import CroppedFiles, deep_features
from mlsp.features import store
from mlsp.features.crops import Crops
from mlsp.features.data_sets import DataSet
from mlsp.features.extraction import extract_to
from mlsp.features.pooling import feature_shape
from mlsp.features.sources import open_source, rated_files
from mlsp.features.store import load_features
from mtl.curation.curate import CurateConfig
from mtl.network.model import ModelConfig
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError

EXTRACT = sys.modules["mlsp.features.extraction"]  # the package has a function of this name


def digests(folder: Path) -> dict[str, str]:
    """Return what each file of a folder holds."""
    return {path.name: content_digest(path) for path in folder.iterdir()}


class Killed(BaseException):
    """The end of a process."""


@pytest.fixture
def cheap(monkeypatch, tmp_path):
    """A model that describes a picture by its mean, and counts what it describes."""
    described = []

    def extractor(model, kind):
        def run(images, sizes):
            sizes = [images.shape[1:3]] * len(images) if sizes is None else sizes
            means = [image[:h, :w].mean() for image, (h, w) in zip(images, sizes, strict=True)]
            described.extend(mean for mean in means if mean)
            return np.repeat(np.array(means, np.float32)[:, None], feature_shape(kind)[0], axis=1)

        return run

    monkeypatch.setattr(EXTRACT, "extractor", extractor)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.npz").write_bytes(b"weights")
    return SimpleNamespace(folder=folder, config=ModelConfig(()), described=described)


@pytest.fixture
def rated(tmp_path, sample) -> Path:
    """Six pictures with scores; one is too small, one damaged."""
    for k in range(4):
        part = sample["chelsea"][20 * k : 20 * k + 80, :90, ::-1]
        cv2.imwrite(str(tmp_path / f"{k}.png"), part)
    cv2.imwrite(str(tmp_path / "4.png"), sample["china"][:10, :10])
    (tmp_path / "5.png").write_bytes((tmp_path / "0.png").read_bytes()[:300])
    lines = [f"{k}.png,{k + 1}" for k in range(6)]
    (tmp_path / "rated.csv").write_text("\n".join(["image,score", *lines, ""]))
    return tmp_path / "rated.csv"


def same_name_other_picture(path: Path) -> None:
    """Turn a picture's pixels upside down and darken them."""
    cv2.imwrite(str(path), cv2.imread(str(path))[::-1] // 2)


def anew(model, rated, out, **settings):
    """What a new folder holds."""
    shutil.rmtree(out, ignore_errors=True)
    return extract_to(model, rated_files(rated), out, **settings)


def same(one, other) -> bool:
    return (
        one.names == other.names
        and one.columns == other.columns
        and one.skipped == other.skipped
        and np.array_equal(one.matrix, other.matrix)
    )


@pytest.mark.parametrize("crops", [None, Crops(3, 80, "none"), Crops(3, 80, "concat")])
def test_a_changed_picture_alone_is_described_again(cheap, rated, tmp_path, crops, capsys):
    out = tmp_path / "out"
    first = extract_to(cheap, rated_files(rated), out, crops=crops)
    before = np.array(first.matrix)
    same_name_other_picture(tmp_path / "2.png")
    cheap.described.clear()
    again = extract_to(cheap, rated_files(rated), out, crops=crops, progress=True)
    rows = crops.number if crops and crops.pool == "none" else 1
    assert len(set(cheap.described)) <= (3 if crops else 1)
    assert f"{5 * rows} rows are kept; {rows} are made again" in capsys.readouterr().err
    fresh = anew(cheap, rated, tmp_path / "fresh", crops=crops)
    assert same(again, fresh)
    differs = np.any(np.asarray(again.matrix) != before, axis=1)
    assert [name for name, d in zip(again.names, differs, strict=True) if d] == ["2.png"] * rows
    assert {p.name for p in out.iterdir()} == {p.name for p in (tmp_path / "fresh").iterdir()}
    cheap.described.clear()
    extract_to(cheap, rated_files(rated), out, crops=crops, progress=True)
    assert not cheap.described and "rows are done" in capsys.readouterr().err


def test_a_new_time_alone_changes_nothing(cheap, rated, tmp_path):
    extract_to(cheap, rated_files(rated), tmp_path / "out")
    data = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").unlink()
    (tmp_path / "1.png").write_bytes(data)
    cheap.described.clear()
    extract_to(cheap, rated_files(rated), tmp_path / "out")
    assert not cheap.described


def test_skipped_pictures_are_tried_again_when_they_change(cheap, rated, tmp_path):
    out = tmp_path / "out"
    first = extract_to(cheap, rated_files(rated), out)
    assert set(first.skipped) == {"4.png", "5.png"}
    (tmp_path / "5.png").write_bytes((tmp_path / "1.png").read_bytes())
    (tmp_path / "0.png").write_bytes(b"damaged")
    (tmp_path / "3.png").unlink()
    cheap.described.clear()
    again = extract_to(cheap, rated_files(rated), out)
    assert again.names == ["1.png", "2.png", "5.png"] and len(set(cheap.described)) == 1
    assert set(again.skipped) == {"0.png", "3.png", "4.png"}
    assert same(again, anew(cheap, rated, tmp_path / "fresh"))
    for k in (0, 3, 4):
        shutil.copy(tmp_path / "1.png", tmp_path / f"{k}.png")
    whole = extract_to(cheap, rated_files(rated), out)
    assert len(whole.names) == 6 and not whole.skipped
    assert not (out / "skipped.csv").exists()


def test_changed_scores_reach_the_index(cheap, rated, tmp_path):
    out = tmp_path / "out"
    extract_to(cheap, rated_files(rated), out)
    rated.write_text(rated.read_text().replace("2.png,3", "2.png,4.5"))
    cheap.described.clear()
    found = extract_to(cheap, rated_files(rated), out)
    assert [row["score"] for row in found.columns] == ["1", "2", "4.5", "4"]
    assert not cheap.described
    assert "2.png,4.5,mlsp" in (out / "index.csv").read_text()


def test_a_stopped_run_is_continued_with_the_pictures_of_now(cheap, rated, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SECONDS_BETWEEN_FLUSHES", 0.0)
    monkeypatch.setattr(EXTRACT, "batch_size", lambda canvas, number: 1)
    source = rated_files(rated)

    class Stopped(type(source)):
        def load(self, index):
            if self.names[index] == "3.png":
                raise Killed
            return super().load(index)

    out = tmp_path / "out"
    with pytest.raises(Killed):
        extract_to(cheap, Stopped(source.root, source.names, source.columns), out)
    assert json.loads((out / "partial.json").read_text())["done"] == [0, 1, 2]
    same_name_other_picture(tmp_path / "1.png")
    cheap.described.clear()
    found = extract_to(cheap, source, out)
    assert len(set(cheap.described)) == 2  # 1.png and 3.png
    assert same(found, anew(cheap, rated, tmp_path / "fresh"))


def test_a_change_survives_a_kill_at_every_write(cheap, rated, tmp_path, monkeypatch):
    """Whatever is written last, the next run ends in what a new folder holds."""
    extract_to(cheap, rated_files(rated), tmp_path / "before")
    same_name_other_picture(tmp_path / "1.png")
    shutil.copy(tmp_path / "2.png", tmp_path / "5.png")
    fresh = anew(cheap, rated, tmp_path / "fresh")
    left = [0]

    def dying(function):
        def call(*arguments, **options):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return function(*arguments, **options)

        return call

    for steps in range(40):
        out = tmp_path / f"after-{steps}"
        shutil.copytree(tmp_path / "before", out)
        left[0] = steps
        with monkeypatch.context() as patch:
            patch.setattr(store, "write_atomically", dying(store.write_atomically))
            patch.setattr(Path, "replace", dying(Path.replace))
            patch.setattr(Path, "unlink", dying(Path.unlink))
            try:
                extract_to(cheap, rated_files(rated), out)
                survived = True
            except Killed:
                survived = False
        if (out / "index.csv").is_file():
            load_features(out)  # whole, be it of before or of now
        assert same(extract_to(cheap, rated_files(rated), out), fresh), steps
        if survived:
            break
    assert survived and steps > 5


def test_what_differs_is_said(cheap, rated, tmp_path):
    out, begun_with = tmp_path / "out", Crops(2, 80, "avg", seed=1)
    extract_to(cheap, rated_files(rated), out, crops=begun_with)

    def refused(match, crops=begun_with):
        with pytest.raises(InputError, match=match):
            extract_to(cheap, rated_files(rated), out, crops=crops)

    refused("crops: 2 of 80, avg, seed 1 there, 2 of 80, avg, seed 2 now", Crops(2, 80, "avg", 2))
    refused("crops: 2 of 80, avg, seed 1 there, none now", None)
    (cheap.folder / "weights.npz").write_bytes(b"others")
    refused("the model's weights differ")
    (cheap.folder / "weights.npz").write_bytes(b"weights")
    text = rated.read_text()
    rated.write_text(text + "6.png,3\n")
    refused(r"6 rows there, 7 now; 6\.png is new")
    rated.write_text(text.replace("3.png,4\n", ""))
    refused(r"6 rows there, 5 now; 3\.png is only there")
    first, *rows = text.splitlines()
    rated.write_text("\n".join([first, *reversed(rows), ""]))
    refused("in another order there")


def test_a_folder_that_knew_names_alone_is_refused(cheap, rated, tmp_path):
    out = tmp_path / "out"
    extract_to(cheap, rated_files(rated), out)
    (out / "contents.csv").unlink()
    identity = json.loads((out / "source.json").read_text())
    del identity["format"]
    (out / "source.json").write_text(json.dumps(identity))
    with pytest.raises(InputError, match=r"another version.*delete the folder or choose another"):
        extract_to(cheap, rated_files(rated), out)


def test_a_folder_whose_contents_are_lost_is_made_anew(cheap, rated, tmp_path):
    out = tmp_path / "out"
    extract_to(cheap, rated_files(rated), out)
    (out / "contents.csv").unlink()
    same_name_other_picture(tmp_path / "0.png")
    found = extract_to(cheap, rated_files(rated), out)
    assert same(found, anew(cheap, rated, tmp_path / "fresh"))


def test_contents_of_a_data_set_follow_its_shards(scored, tmp_path):
    data = shutil.copytree(scored, tmp_path / "kadis")
    before = DataSet(data)
    contents = [before.content(k) for k in range(20)]
    assert len(set(contents)) == 20
    stats = min((data / "stats").iterdir())
    shard = json.loads(stats.read_text())
    stats.write_text(json.dumps(shard | {"sha256": "0" * 64}))
    after = open_source(data)
    changed = [k for k in range(20) if after.content(k) != contents[k]]
    assert 0 < len(changed) < 20
    assert {before.columns[k]["split"] for k in changed} == {shard["split"]}
    del shard["sha256"]
    stats.write_text(json.dumps(shard))
    with pytest.raises(InputError, match="its stats lack sha256"):
        open_source(data)


def test_contents_of_crops_follow_file_and_settings(photographs):
    def content(**settings):
        config = CurateConfig(photographs, Path("unused"), **settings)
        return CroppedFiles(config, ["chelsea.png"]).content(0)

    first = content(size=(80, 90))
    assert first != content(size=(90, 80)) and first != content_digest(photographs / "chelsea.png")
    same_name_other_picture(photographs / "chelsea.png")
    assert content(size=(80, 90)) != first


def test_deep_features_of_a_changed_photograph_are_new(cheap, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "load_model", lambda folder: cheap)
    config = CurateConfig(photographs, Path("unused"), size=(80, 90))
    names = ["chelsea.png", "china.png"]
    before = deep_features(config, names, cheap.folder, tmp_path / "kept")
    same_name_other_picture(photographs / "china.png")
    cheap.described.clear()
    after = deep_features(config, names, cheap.folder, tmp_path / "kept")
    assert (before != after).any(axis=1).tolist() == [False, True]
    assert len(set(cheap.described)) == 1 and len([*(tmp_path / "kept").iterdir()]) == 1


def test_names_that_are_not_utf_8_are_found_again(cheap, rated, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "Z\udcfcrich.png"):
        shutil.copyfile(tmp_path / "0.png", photos / name)
    first = extract_to(cheap, open_source(photos), tmp_path / "out")
    cheap.described.clear()
    assert same(extract_to(cheap, open_source(photos), tmp_path / "out"), first)
    assert not cheap.described and "Z\udcfcrich.png" in first.names


def damaged(table: Path) -> None:
    """Damage all pictures of a table whose headers can still be read."""
    for k in range(5):
        path = table.parent / f"{k}.png"
        path.write_bytes(path.read_bytes()[:300])


def test_a_finished_folder_outlives_pictures_none_of_which_can_be_used(cheap, rated, tmp_path):
    out = tmp_path / "out"
    extract_to(cheap, rated_files(rated), out)
    (out / "notes.txt").write_text("mine")
    before = digests(out)
    damaged(rated)
    with pytest.raises(InputError, match=r"none of the 6 pictures can be used; the first, 0\.png"):
        extract_to(cheap, rated_files(rated), out)
    assert digests(out) == before and len(before) == 7


@pytest.mark.parametrize("kind", ["none", "empty", "link"])
def test_pictures_none_of_which_can_be_used_leave_nothing(cheap, rated, tmp_path, kind):
    damaged(rated)
    out, real = tmp_path / "out", tmp_path / "real"
    real.mkdir()
    if kind == "link":
        out.symlink_to(real)
    elif kind == "empty":
        out.mkdir()
    with pytest.raises(InputError, match="none of the 6 pictures can be used"):
        extract_to(cheap, rated_files(rated), out)
    assert out.exists() == (kind == "link") and list(real.iterdir()) == []


def test_pictures_that_are_damaged_on_the_way_cost_no_file_of_the_user(
    cheap, rated, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    begin = store.FeatureWriter.begin

    def begun(self):
        begin(self)
        (out / "notes.txt").write_text("mine")

    monkeypatch.setattr(store.FeatureWriter, "begin", begun)
    damaged(rated)
    with pytest.raises(InputError, match="none of the 6 pictures can be used"):
        extract_to(cheap, rated_files(rated), out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_features_that_were_changed_are_not_continued(cheap, rated, tmp_path):
    out = tmp_path / "out"
    extract_to(cheap, rated_files(rated), out)
    digest, name = (out / "features.sha256").read_text().split()
    assert content_digest(out / name) == digest
    data = bytearray((out / name).read_bytes())
    data[-1] ^= 1
    (out / name).write_bytes(data)
    before = digests(out)
    for _ in range(2):
        with pytest.raises(InputError, match=r"features\.npy: was changed since it was written"):
            extract_to(cheap, rated_files(rated), out)
        assert digests(out) == before
        same_name_other_picture(tmp_path / "2.png")  # nor where some are made again
    data[-1] ^= 1
    (out / name).write_bytes(data)
    extract_to(cheap, rated_files(rated), out)
    (out / "features.sha256").unlink()
    with pytest.raises(InputError, match=r"features\.npy: was changed"):
        extract_to(cheap, rated_files(rated), out)


def test_a_full_disk_is_an_error_before_anything_is_described(cheap, rated, tmp_path, monkeypatch):
    """Writing to mapped memory that the disk has no place for would kill the process."""
    allocated, full = [], [True]

    def allocate(descriptor, offset, length):
        allocated.append((offset, length))
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    out = tmp_path / "out"
    with pytest.raises(OSError, match=r"No space left .* need 0\.2 MB, make room.*partial\.npy"):
        extract_to(cheap, rated_files(rated), out)
    assert not cheap.described and not (out / "partial.npy").exists()
    full[0] = False
    first = extract_to(cheap, rated_files(rated), out)
    sizes = [128 + 2 * rows * first.matrix.shape[1] for rows in (6, 6, 4)]  # first, again, packed
    assert allocated == [(0, size) for size in sizes]
    before = digests(out)
    full[0] = True
    same_name_other_picture(tmp_path / "2.png")
    with pytest.raises(OSError, match="No space left"):
        extract_to(cheap, rated_files(rated), out)
    assert digests(out)["features.npy"] == before["features.npy"]
    assert same(load_features(out), first)
