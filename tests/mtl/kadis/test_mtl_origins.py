"""A data set's plan knows its origin: what it should hold, and whether that can be made again."""

import json
from pathlib import Path

import cv2
import pytest

from mtl.kadis import MANIFEST
from mtl.kadis.manifest import plan_digest, read_manifest, read_plan
from mtl.kadis.origins import CONTENTS, ENTRIES, Generated, Imported
from mtl.kadis.recipes import Version
from mtl.kadis.shards import read_stats
from mtl.published.import_plan import ImportConfig
from mtl.published.importing import import_published
from mtl.runtime.files import InputError


@pytest.fixture(scope="module")
def imported(tmp_path_factory, sample) -> Path:
    """Four references with two distorted versions each, of somebody else's making."""
    root = tmp_path_factory.mktemp("imported")
    rows = ["dist_im,ref_im,gmsd"]
    for name in ("chelsea", "china", "coffee", "flower"):
        image = cv2.resize(sample[name], (64, 48))[..., ::-1]
        for folder, file, darker in (
            ("references", f"{name}.png", 1),
            ("distorted", f"{name}_17_01.png", 2),
            ("distorted", f"{name}_17_02.png", 3),
        ):
            (root / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(root / folder / file), image // darker)
            if darker > 1:
                rows.append(f"{file},{name}.png,0.{darker}")
    (root / "table.csv").write_text("\n".join(rows) + "\n")
    import_published(
        ImportConfig(
            root / "table.csv", root / "references", root / "distorted", root / "out", shards=2
        )
    )
    return root / "out"


def stated(data: Path, shard) -> list[tuple[str, Version]]:
    stats = read_stats(data, shard)
    return [
        (one["reference"], Version(one["distortion"], one["level"], one["seed"]))
        for one in stats["records"]
    ]


def rewrite(source: Path, folder: Path, **entries) -> Path:
    """Write the manifest of a data set with other entries into a folder."""
    manifest = json.loads((source / MANIFEST).read_text())
    manifest["plan"] |= entries
    manifest["plan"] = {k: v for k, v in manifest["plan"].items() if v is not None}
    folder.mkdir()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_a_generated_data_set_says_what_it_holds(scored):
    planned = read_plan(scored)
    assert isinstance(planned, Generated) and planned.command == "generate"
    assert not planned.not_repeatable
    # The seed decides every version: what the stats state does not matter.
    for shard in planned.shards:
        assert planned.images_due(shard.references, []) == stated(scored, shard)
        assert planned.images_due(shard.references[:1], stated(scored, shard)) == [
            (shard.references[0], version) for version in planned.versions(shard.references[0])
        ]
    assert planned.number_of_images() == 4 * planned.versions_per_reference == 20
    assert planned.images_in_record == 1


def test_an_imported_data_set_holds_what_its_stats_state(imported):
    planned = read_plan(imported)
    assert isinstance(planned, Imported) and planned.command == "import-scores"
    assert planned.not_repeatable == "imported images cannot be made again"
    assert planned.types == (17,) and planned.levels == (1, 2)
    (shard, *_) = planned.shards
    images = stated(imported, shard)
    assert planned.images_due(shard.references, images * 2) == images
    assert planned.images_due(shard.references, []) == []
    assert planned.images_due([], images) == []
    assert planned.number_of_images() == 8
    assert planned.images_in_record == 1


def test_a_plan_is_written_as_it_was_read(scored, imported):
    for data in (scored, imported):
        plan = read_manifest(data)["plan"]
        again = read_plan(data).to_json()
        assert json.dumps(again) == json.dumps(plan)  # in the same order
        assert plan_digest(again) == plan_digest(plan)
        assert list(plan) == [name for name in ENTRIES if name in plan]


def test_manifests_of_earlier_versions_open(scored, imported, tmp_path):
    planned = read_plan(rewrite(scored, tmp_path / "old", **{CONTENTS: None}))
    assert planned.contents == {} and isinstance(planned, Generated)
    with_tolerance = rewrite(imported, tmp_path / "tolerant", score_tolerance=1e-4)
    assert isinstance(read_plan(with_tolerance), Imported)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"recipe": "mine"}, "unknown recipe mine"),
        ({"recipe": "published"}, "table"),
        ({"score_tolerance": 1}, "missing or unknown entries"),
        ({"score_tolerance": None}, "missing or unknown entries"),
        ({"colour": "red"}, "missing or unknown entries"),
    ],
)
def test_a_plan_of_no_known_origin_is_refused(scored, tmp_path, entries, reason):
    with pytest.raises(InputError, match=rf"manifest\.json: is damaged \(.*{reason}"):
        read_plan(rewrite(scored, tmp_path / "odd", **entries))
