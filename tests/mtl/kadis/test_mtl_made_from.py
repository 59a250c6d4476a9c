"""A data set is continued only with the photographs it was made from, whatever their names say."""

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from folder_digests import digests

from mtl.curation.curate import JOURNAL, CurateConfig, curate
from mtl.kadis import MANIFEST
from mtl.kadis.generate import generate
from mtl.kadis.making import Tally, score_versions
from mtl.kadis.manifest import claim, plan_digest, read_manifest
from mtl.kadis.origins import CONTENTS
from mtl.kadis.photographs import pristine_again
from mtl.kadis.plan import GenerateConfig, make_plan
from mtl.kadis.shards import stats_path
from mtl.kadis.verification.verify import VerifyConfig, verify
from mtl.published.import_plan import ImportConfig, plan_import
from mtl.published.importing import import_published
from mtl.runtime.files import InputError
from mtl.runtime.pictures import Rejected

NAMES = ("a.bmp", "b.bmp", "c.bmp", "d.bmp")
SIZE = (48, 64)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(image, SIZE[::-1])[..., ::-1])


def exchange(path: Path) -> None:
    """Put another picture under the name, of as many bytes and the same time."""
    before = path.stat()
    write(path, cv2.imread(str(path))[::-1, ::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.fixture
def small(tmp_path, sample) -> Path:
    """Four small photographs, as BMP: all files have the same number of bytes."""
    for name, image in zip(NAMES, sample.values(), strict=False):
        write(tmp_path / "photos" / name, image)
    return tmp_path / "photos"


def config(photos: Path, out: Path, **changes) -> GenerateConfig:
    settings = {"size": SIZE, "metrics": ("gmsd",), "shards": 2, "types": ("jpeg", "darken")}
    return GenerateConfig(photos, out, **settings | changes)


def test_a_data_set_in_the_making_refuses_another_photograph(small, tmp_path):
    settings = config(small, tmp_path / "out")
    claim(settings.out, make_plan(settings))
    claim(settings.out, make_plan(settings))
    exchange(small / "c.bmp")
    with pytest.raises(
        InputError, match=r"of other photographs or settings \(c\.bmp has come, gone or"
    ):
        claim(settings.out, make_plan(settings))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed, shards"),
        ({"metrics": ("gmsd", "ssim")}, "metrics"),
        ({"types": ("jpeg",)}, "types"),
        ({"store": "recipe"}, "store"),
    ],
)
def test_what_else_differs_is_said(small, tmp_path, changes, named):
    settings = config(small, tmp_path / "out")
    claim(settings.out, make_plan(settings))
    with pytest.raises(InputError, match=rf"or settings \(another {named}\); choose another --out"):
        claim(settings.out, make_plan(replace(settings, **changes)))


def test_a_worker_leaves_out_a_photograph_that_has_changed_since(small, tmp_path):
    planned = make_plan(config(small, tmp_path / "out"))
    exchange(small / "a.bmp")
    found = score_versions(planned, "a.bmp", Tally())
    assert isinstance(found, Rejected)
    assert found.reason == "has changed since the data set was planned; put it back"
    assert not isinstance(score_versions(planned, "b.bmp", Tally()), Rejected)


@pytest.mark.usefixtures("local_ray")
def test_generate_continues_with_the_same_photographs_alone(small, tmp_path):
    settings = config(small, tmp_path / "out")
    generate(settings)
    before = digests(settings.out)
    stats_path(settings.out, make_plan(settings).shards[0]).unlink()  # as after a kill
    kept = (small / "d.bmp").read_bytes()
    exchange(small / "d.bmp")
    with pytest.raises(InputError, match=r"d\.bmp has come, gone or changed"):
        generate(settings)
    (small / "d.bmp").write_bytes(kept)
    assert generate(settings).made == 1
    assert digests(settings.out) == before
    assert verify(VerifyConfig(settings.out)).problems == ()
    # A run knows its data set by the plan, an export and an explanation the photograph.
    plan = read_manifest(settings.out)["plan"]
    exchange(small / "d.bmp")
    assert plan_digest(make_plan(settings).to_json()) != plan_digest(plan)
    with pytest.raises(InputError, match=r"d\.bmp: has changed since"):
        pristine_again(small, plan, "d.bmp")
    # A data set of an earlier version has no contents; it can be read, but not continued.
    manifest = json.loads((settings.out / MANIFEST).read_text())
    del manifest["plan"][CONTENTS]
    (settings.out / MANIFEST).write_text(json.dumps(manifest))
    assert verify(VerifyConfig(settings.out, sample=0)).problems == ()
    assert pristine_again(small, manifest["plan"], "d.bmp").shape == (*SIZE, 3)
    with pytest.raises(InputError, match="a version that did not note what the pictures hold"):
        generate(settings)


@pytest.mark.parametrize("folder", ["references", "distorted"])
def test_an_import_refuses_another_picture(small, tmp_path, folder):
    rows = ["dist_im,ref_im,gmsd"]
    for name in NAMES:
        for level in (1, 2):
            version = f"{name[0]}_10_0{level}.bmp"
            rows.append(f"{version},{name},0.{level}")
            write(tmp_path / "distorted" / version, cv2.imread(str(small / name)) // level)
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    settings = ImportConfig(
        tmp_path / "table.csv", small, tmp_path / "distorted", tmp_path / "out", shards=2
    )
    done = import_published(settings)
    assert sum(done.images.values()) == 8
    assert import_published(settings).made == 0
    exchange(
        {"references": small / "b.bmp", "distorted": tmp_path / "distorted/b_10_02.bmp"}[folder]
    )
    with pytest.raises(InputError, match=r"settings \((b\.bmp has come|another distorted)"):
        import_published(settings)
    assert plan_import(settings).shards


def test_a_curation_refuses_another_photograph_and_restores_its_crops(small, tmp_path):
    settings = CurateConfig(small, tmp_path / "crops", size=(32, 32))
    curation = curate(settings)
    before = digests(settings.out)
    first, second = (settings.out / one.file for one in curation.kept[:2])
    first.write_bytes(b"x" * first.stat().st_size)  # as many bytes
    second.unlink()
    curate(settings)
    assert digests(settings.out) == before
    exchange(small / "b.bmp")
    with pytest.raises(InputError, match=r"b\.bmp: is not the photograph that was curated"):
        curate(settings)
    assert digests(settings.out) == before
    header, *lines = (settings.out / JOURNAL).read_text().splitlines()
    old = json.loads(header) | {"format": 1}
    (settings.out / JOURNAL).write_text("\n".join([json.dumps(old), *lines]) + "\n")
    with pytest.raises(InputError, match="was curated by another version; choose another --out"):
        curate(settings)
