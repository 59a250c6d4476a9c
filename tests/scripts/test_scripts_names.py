"""Names that are not UTF-8 or as long as the file system allows, through the commands."""

import csv
import json
import os

import pytest
from PIL import Image

from deepfl.program import main
from mlsp.features.store import load_features
from mtl.runtime.tables.csv_tables import read_table

STRANGE = "Z\udcfcrich.png"  # how Python writes the byte 0xfc of Z\374rich.png
RAW = b"Z\xfcrich.png"
LONG = "b" * 236 + ".png"


@pytest.fixture
def place(tmp_path, sample, monkeypatch):
    """A working folder with photographs of all kinds of names, a film and a note among them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names").mkdir()
    (tmp_path / "elsewhere").mkdir()
    try:
        (tmp_path / "names" / STRANGE).touch()
    except OSError:
        pytest.skip("this disk takes only names in UTF-8")
    for name, photo in (("good.png", "coffee"), (STRANGE, "chelsea"), (LONG, "china")):
        Image.fromarray(sample[photo][:100, :120]).save(tmp_path / "names" / name, "PNG")
    Image.fromarray(sample["flower"][:100, :120]).save(tmp_path / "elsewhere" / "linked.png")
    (tmp_path / "names" / "more").symlink_to("../elsewhere")
    (tmp_path / "names" / "film.mov").touch()
    (tmp_path / "names" / "note.txt").touch()
    return tmp_path


PASSED = "names: 2 files are no pictures and were passed over (.mov .txt)"
ALL = {"good.png", STRANGE, LONG, "more/linked.png"}


def run(command: str, capsys) -> str:
    assert main(command.split()) == 0
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_distort_and_score(place, capsys):
    said = run("distort names --type jpeg --level 3 --out out", capsys)
    assert PASSED in said and "0 photographs left out" in said
    files = {path.name for path in (place / "out").iterdir()}
    assert files == {
        "good_10_03.png",
        STRANGE[:-4] + "_10_03.png",
        LONG[:-4] + "_10_03.png",
        "more",
    }
    said = run("score names out --metrics gmsd --out scores.csv", capsys)
    assert PASSED in said
    found = read_table("scores.csv", ("distorted", "reference", "gmsd"))
    assert {row["reference"].removeprefix("names/") for row in found} == ALL
    assert b"names/" + RAW in (place / "scores.csv").read_bytes()
    assert main(["score", "names", "out", "--metrics", "gmsd"]) == 0
    assert "Z\\udcfcrich_10_03.png" in capsys.readouterr().out


def test_predict(place, untrained, capsys):
    command = f"predict names --model {untrained} --out q.csv --json q.json"
    assert PASSED in run(command, capsys)
    names = {f"names/{name}" for name in ALL}
    assert {row["image"] for row in read_table("q.csv", ("image",))} == names
    assert b"names/" + RAW in (place / "q.csv").read_bytes()
    text = (place / "q.json").read_text(encoding="utf-8")  # JSON is UTF-8 always
    assert "names/Z\\udcfcrich.png" in text
    assert {one["image"] for one in json.loads(text)["pictures"]} == names
    assert main(["predict", f"names/{STRANGE}", "--model", str(untrained)]) == 0
    assert "names/Z\\udcfcrich.png" in capsys.readouterr().out


def test_extract(place, untrained, capsys):
    command = f"extract names --model {untrained} --features gap --out features"
    assert PASSED in run(command, capsys)
    assert set(load_features(place / "features").names) == ALL
    assert RAW in (place / "features" / "index.csv").read_bytes()
    assert "all 4 rows are done" in run(command, capsys)
    # A table of one's own holds the name as it is.
    (place / "mine.csv").write_bytes(b"image\nnames/" + RAW + b"\n")
    run(f"extract mine.csv --model {untrained} --features gap --out mine", capsys)
    assert load_features(place / "mine").names == [f"names/{STRANGE}"]


def test_curate_generate_verify_and_export(place, capsys):
    said = run("curate names --size 80 96 --out curated", capsys)
    assert PASSED in said and "4 crops of 96×80" in said
    with (place / "curated" / "curated.csv").open(errors="surrogateescape") as file:
        assert {row["photograph"] for row in csv.DictReader(file)} == ALL
    said = run(
        "generate curated --size 80 96 --metrics ssim --types jpeg --per-image 5 --shards 1"
        " --validation 0 --out kadis",
        capsys,
    )
    assert "curated: 3 files are no pictures and were passed over (.csv .jsonl)" in said
    manifest = json.loads((place / "kadis" / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["plan"]["photographs"]) == ALL
    stats = json.loads((place / "kadis" / "stats" / "00000.json").read_text(encoding="utf-8"))
    assert {record["reference"] for record in stats["records"]} == ALL
    run("verify kadis", capsys)
    said = run("export kadis --out scores.csv --pictures pictures", capsys)
    assert b"Z\xfcrich_10_03.png" in (place / "scores.csv").read_bytes()
    exported = {name for _, _, files in os.walk(b"pictures") for name in files}
    assert {b"Z\xfcrich_10_03.png", b"b" * 236 + b"_10_03.png", b"linked_10_05.png"} <= exported
