"""A user's mistakes: one clear line that names the file and the remedy, code 2, nothing written."""

import cv2
import numpy as np
import pytest

from deepfl.program import COMMANDS, main


@pytest.fixture
def place(tmp_path, sample, monkeypatch):
    """A working folder with one of everything a user can get wrong."""
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "bad", "good"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bad" / "text.jpg").write_text("no picture")
    cv2.imwrite(str(tmp_path / "bad" / "tiny.png"), np.zeros((10, 10, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "good" / "photo.png"), sample["chelsea"][..., ::-1])
    cv2.imwrite(str(tmp_path / "good" / "other.png"), sample["coffee"][..., ::-1])
    (tmp_path / "header.csv").write_text("file,mos\nphoto.png,3\n")
    (tmp_path / "few.csv").write_text("image,score\ngood/photo.png,3\ngood/other.png,4\n")
    (tmp_path / "odd").write_bytes((tmp_path / "good" / "photo.png").read_bytes())
    (tmp_path / "pairs.csv").write_text("reference,distorted\ngood/photo.png,odd\n")
    (tmp_path / "rated").mkdir()
    for name in ("scores.csv", "summary.csv"):
        (tmp_path / "rated" / name).write_text("image,score\ngood/photo.png,3\n")
    (tmp_path / "words.csv").write_text("image,score\na.png,good\n")
    lines = [f"gone/{k}.png,{k}" for k in range(5)]
    (tmp_path / "gone.csv").write_text("\n".join(["image,score", *lines, ""]))
    parts = ("training", "validation", "test") * 3
    for folder in ("gone", "mixed"):
        lines = [f"{folder}/{k}.png,{k},{part}" for k, part in enumerate(parts)]
        (tmp_path / f"nine_{folder}.csv").write_text("\n".join(["image,score,set", *lines, ""]))
    (tmp_path / "mixed").mkdir()
    for k in range(9):
        cv2.imwrite(str(tmp_path / "mixed" / f"{k}.png"), sample["coffee"][: 90 + k, :90])
    return tmp_path


MISTAKES = [
    ("generate gone --out out", "gone: no such folder"),
    ("generate empty --out out", "empty: holds no pictures"),
    ("generate header.csv --out out", "header.csv: is a file; give the folder"),
    ("generate bad --out out", "text.jpg: is not a picture"),
    ("generate good --out out --size 480 640", "600×400 is smaller than 640×480"),
    ("generate good --out bad --size 192 256", "bad: exists and is not a data set"),
    ("generate good --out out --size 192 256 --types blur", "blur: is not a distortion"),
    ("import-keras gone.h5 --out out", "gone.h5: no such file; give a file of weights"),
    ("import-keras good --out out", "good: is a folder; give a file of weights"),
    ("import-keras header.csv --out out", "header.csv: is not an HDF5 file"),
    ("import-keras header.csv --out good", "good: exists; choose another --out"),
    ("train --data gone --out out", "gone: is not a data set"),
    ("train --data good --out out", "good: is not a data set"),
    ("extract good --model gone --out out", "gone: no such folder"),
    ("extract good --model empty --out out", "empty: is not a model folder"),
    ("extract gone --model {model} --out out", "gone: no such folder"),
    ("extract bad --model {model} --out out", "text.jpg: "),
    ("extract header.csv --model {model} --out out", "header.csv: the header is 'file,mos'"),
    ("benchmark gone.csv --model empty --out out", "empty: is not a model folder"),
    ("benchmark missing.csv --model {model} --out out", "missing.csv: no such folder or file"),
    ("benchmark header.csv --model {model} --out out", "header.csv: the header is 'file,mos'"),
    ("benchmark words.csv --model {model} --out out", "line 2: score 'good' is not a number"),
    ("benchmark few.csv --model {model} --out out", "few.csv: rates pictures of 2 reference"),
    ("benchmark gone.csv --model {model} --out out", "0.png: no such file"),
    ("finetune missing.csv --init random --out out", "missing.csv: no such file"),
    ("finetune header.csv --init random --out out", "'file,mos' but must hold image"),
    ("finetune words.csv --init random --out out", "line 2: score 'good' is not a number"),
    ("finetune few.csv --init random --out out", "few.csv: 2 reference(s) cannot be split"),
    (
        "finetune nine_gone.csv --init random --out out --loss emd",
        "nine_gone.csv needs c1 c2 c3 c4 c5",
    ),
    (
        "finetune nine_gone.csv --init random --out out",
        "gone/0.png: no such file (nine_gone.csv names it)",
    ),
    ("finetune nine_mixed.csv --init random --out out", "for all, such as --size 384 512"),
    ("extract good --model {model} --out out --crops 2 --crop-size 9", "--crop-size 9: at least"),
    ("extract good --model {model} --out out --crops -1", "--crops -1: give the number of crops"),
    ("extract good --model {model} --out out --crops 2 --seed -1", "--seed -1: must not be"),
    ("benchmark gone.csv --model {model} --out out --seed -1", "--seed -1: must not be negative"),
    ("demo --out new-demo --seed -1", "--seed -1: must not be negative"),
    ("conditions gone --model {model}", "gone: is not a data set"),
    ("conditions good --model empty", "empty: is not a model folder"),
    ("predict good/photo.png --model {model} --explain", "holds no conditions to explain"),
    ("predict good/photo.png --model empty", "empty: is not a model folder"),
    ("predict gone.png --model {model}", "gone.png: no such file"),
    ("predict bad --model {model}", "none of the 2 pictures can be used"),
    ("predict --model {model}", "no picture given"),
    ("distort gone.png --out out.png", "gone.png: no such file"),
    ("distort bad/text.jpg --out out.png", "text.jpg: is not a picture"),
    ("distort good/photo.png --out out.jpg", "end the name in .png"),
    ("distort good/photo.png --type jpeg --level 9 --out out.png", "level 9"),
    ("distort good/photo.png --type jpeg --out out.png", "one --type and one --level"),
    ("distort bad --out out --type jpeg --seed -1", "--seed -1"),
    ("score good/photo.png bad/text.jpg", "text.jpg: is not a picture"),
    ("score good/photo.png good/other.png", "they must have the same size"),
    ("score bad/tiny.png bad/tiny.png", "10×10 is too small for ssim"),
    ("score good/photo.png", "no distorted picture given"),
    ("score good/photo.png good/photo.png --metrics psnr", "psnr: is not a metric"),
    ("score good bad", "no name belongs to a picture of good"),
    ("score good/photo.png good", "good: is a folder; beside one picture give the files"),
    ("score good/photo.png good/other.png --out bad", "bad: is a folder; give --out the name of"),
    ("score good bad --out header.csv/s.csv", "header.csv is no folder; choose another --out"),
    (
        "score good/photo.png good/other.png --out good/other.png",
        "other.png: is a picture's name, but --out writes text",
    ),
    ("score pairs.csv --out ./pairs.csv", "--out would replace pairs.csv, which is read"),
    ("score good bad --against pairs.csv --out pairs.csv", "--out would replace pairs.csv"),
    ("score pairs.csv --out odd", "--out would replace odd, which is read"),
    ("predict few.csv --model empty --out few.csv", "--out would replace few.csv, which is read"),
    ("predict few.csv --model empty --json few.csv", "--json would replace few.csv"),
    ("predict good --model empty --json bad", "bad: is a folder; give --json the name of a file"),
    ("predict good --model empty --out s.csv --json ./s.csv", "s.csv: is both --out and --json"),
    ("predict good --model empty --out good/photo.png", "photo.png: is a picture's name"),
    (f"predict good --model empty --out {'x' * 300}.csv", "the name is too long"),
    (
        "distort good/photo.png --type jpeg --level 1 --out good/photo.png",
        "would replace good/photo",
    ),
    ("distort good/photo.png --out good/photo.png", "--out would replace good/photo.png"),
    (
        "distort good --out few.csv --type jpeg",
        "few.csv: is a file; give a folder for --out",
    ),
    ("extract good --out few.csv/x", "few.csv is no folder; choose another --out"),
    ("curate good --out few.csv/x", "few.csv is no folder; choose another --out"),
    ("generate good --out few.csv/x", "few.csv is no folder; choose another --out"),
    ("finetune few.csv --init random --out few.csv/x", "few.csv is no folder; choose another"),
    ("train --data good --out few.csv/x", "few.csv is no folder; choose another --out"),
    ("ratings rated/scores.csv --out rated", "--out would replace rated/scores.csv"),
    ("ratings few.csv --experts rated/scores.csv --out rated", "--out would replace rated/scores"),
    ("ratings --simulate good", "good: is a folder; give --simulate the name of a file"),
    ("benchmark rated/summary.csv --out rated", "--out would replace rated/summary.csv"),
    ("benchmark few.csv --out words.csv", "words.csv: is a file; give a folder for --out"),
    ("demo --out bad", "bad: exists and is not a demonstration"),
]


@pytest.mark.parametrize(("command", "message"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_one_line_and_leaves_nothing(place, untrained, capsys, command, message):
    before = sorted(place.rglob("*"))
    assert main(command.format(model=untrained).split()) == 2
    error = capsys.readouterr().err
    last = error.strip().splitlines()[-1]
    assert last.startswith(f"deepfl {command.split()[0]}: ") and message in last, error
    assert "Traceback" not in error
    assert sorted(place.rglob("*")) == before


def test_an_unknown_command_is_said(capsys):
    assert main(["distrot"]) == 2
    assert "'distrot' is not a command" in capsys.readouterr().err


def test_an_unknown_option_ends_with_code_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--dta", "x"])
    assert ended.value.code == 2
    assert "--dta" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "Example" in shown and f"deepfl {command} " in shown


def test_the_overview_lists_every_command(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {command} " in shown for command in COMMANDS)
    assert main(["--version"]) == 0


def test_bad_pictures_among_good_ones_are_skipped_counted_and_named(place, capsys):
    cv2.imwrite(str(place / "bad" / "good.png"), np.zeros((100, 100, 3), np.uint8))
    assert main(["distort", "bad", "--out", "out", "--type", "jpeg", "--level", "2"]) == 0
    error = capsys.readouterr().err
    assert "left out: bad/text.jpg: is not a picture" in error
    assert "1 photographs left out" in error
    assert sorted(p.name for p in (place / "out").iterdir()) == [
        "good_10_02.png",
        "tiny_10_02.png",
    ]
