"""Comparing with a published file of scores: agreement is found, disagreement is named."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepfl.commands.score import main
from distortions import distort
from fr_metrics.sff import load_matrix
from mtl.file_tools.score_files import read_pairs, score_pairs
from mtl.published.score_tables import agreement, pair_published, read_published
from mtl.runtime.files import InputError

METRICS = ("ssim", "gmsd")


@pytest.fixture
def place(tmp_path, sample) -> Path:
    """Two references, six distorted versions, and a published file made of our own scores."""
    for folder in ("references", "distorted"):
        (tmp_path / folder).mkdir()
    rows = []
    for name in ("astronaut", "coffee"):
        image = cv2.resize(sample[name], (160, 120), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(tmp_path / "references" / f"{name}.png"), image[..., ::-1])
        for level in (1, 3, 5):
            version = distort(image, "jpeg", level)
            cv2.imwrite(str(tmp_path / "distorted" / f"{name}_{level}.png"), version[..., ::-1])
            rows.append({"dist_im": f"{name}_{level}.png", "ref_im": f"{name}.png"})
    write(tmp_path, [row | {"SSIM": 0, "GMSD": 0} for row in rows])
    published = read_published(tmp_path / "published.csv")
    pairs, _ = pair_published(published, tmp_path / "references", tmp_path / "distorted")
    scored, _ = score_pairs(pairs, METRICS)
    ours = {each.distorted.name: each.scores for each in scored}
    write(
        tmp_path,
        [
            row | {"SSIM": ours[row["dist_im"]]["ssim"], "GMSD": ours[row["dist_im"]]["gmsd"]}
            for row in rows
        ],
    )
    return tmp_path


def write(place: Path, rows: list[dict]) -> None:
    with (place / "published.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read(place: Path) -> list[dict]:
    with (place / "published.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def compared(place: Path):
    published = read_published(place / "published.csv")
    pairs, missing = pair_published(published, place / "references", place / "distorted")
    scored, _ = score_pairs(pairs, published.metrics)
    return agreement(scored, published, place / "distorted", published.metrics), missing


def test_equal_scores_agree(place):
    rows, missing = compared(place)
    assert [row.metric for row in rows] == list(METRICS)
    assert missing == []
    for row in rows:
        assert row.pictures == 6
        assert row.largest_difference < 1e-6
        assert row.srocc == pytest.approx(1)


def test_the_picture_farthest_off_is_named(place):
    rows = read(place)
    rows[4]["GMSD"] = float(rows[4]["GMSD"]) + 0.25
    write(place, rows)
    ssim, gmsd = compared(place)[0]
    assert ssim.largest_difference < 1e-6
    assert gmsd.largest_difference == pytest.approx(0.25, abs=1e-6)
    assert gmsd.worst == rows[4]["dist_im"]
    assert gmsd.median_difference < 1e-6
    assert gmsd.srocc < 1


def test_scores_that_are_missing_and_pictures_that_are_not_there(place):
    rows = read(place)
    rows[0]["SSIM"] = "nan"
    rows.append(rows[1] | {"dist_im": "elsewhere.png"})
    write(place, rows)
    (ssim, gmsd), missing = compared(place)
    assert (ssim.pictures, gmsd.pictures) == (5, 6)
    assert [each.file for each in missing] == ["elsewhere.png"]
    assert "elsewhere.png: no such picture file" in missing[0].reason


def test_command(place, capsys):
    folders = [str(place / "references"), str(place / "distorted")]
    published, ours = str(place / "published.csv"), str(place / "ours.csv")
    main([*folders, "--against", published, "--out", ours])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["metric", "ssim", "gmsd"]
    assert lines[1].split()[1] == "6" and lines[1].split()[4] == "1.00000"
    assert len((place / "ours.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda rows: [row | {"GMSD": "good"} for row in rows],
            "line 2: GMSD 'good' is not a number",
        ),
        (lambda rows: [*rows, rows[0]], "line 8: astronaut_1.png is there twice"),
        (
            lambda rows: [{k: row[k] for k in ("dist_im", "ref_im")} for row in rows],
            "no column is named like a metric",
        ),
        (lambda rows: [{"picture": "a", "SSIM": 1}], "dist_im is missing"),
    ],
)
def test_files_that_cannot_be_used(place, change, words):
    write(place, change(read(place)))
    with pytest.raises(InputError, match=words):
        read_published(place / "published.csv")


@pytest.mark.parametrize("column", ["dist_im", "ref_im"])
@pytest.mark.parametrize("name", ["{folder}/astronaut_1.png", "../distorted/astronaut_1.png", "."])
def test_names_outside_the_folders_are_refused_before_scoring(place, column, name):
    rows = read(place)
    rows[2][column] = name.format(folder=place / "distorted")
    write(place, rows)
    folders = [str(place / "references"), str(place / "distorted")]
    with pytest.raises(
        InputError, match=r"published\.csv: line 4: .* is not a name inside a folder"
    ):
        main([*folders, "--against", str(place / "published.csv")])


def test_one_picture_is_named_once_however_it_is_written(place):
    rows = read(place)
    rows[0]["dist_im"] = " ./" + rows[0]["dist_im"]
    rows[1]["ref_im"] = "./" + rows[1]["ref_im"] + " "
    write(place, rows)
    pairs, left_out = pair_published(
        read_published(place / "published.csv"), place / "references", place / "distorted"
    )
    assert [len(pair.distorted) for pair in pairs] == [3, 3] and not left_out
    write(place, [*rows, rows[0] | {"dist_im": "astronaut_1.png"}])
    with pytest.raises(InputError, match=r"line 8: astronaut_1\.png is there twice"):
        read_published(place / "published.csv")


def test_names_that_no_disk_can_hold_are_left_out(place):
    long = "x" * 300 + ".png"
    rows = read(place)
    rows += [rows[0] | {"dist_im": long}, rows[0] | {"dist_im": "a.png", "ref_im": f"{long}/a.png"}]
    write(place, rows)
    pairs, left_out = pair_published(
        read_published(place / "published.csv"), place / "references", place / "distorted"
    )
    assert sum(len(pair.distorted) for pair in pairs) == 6
    assert [each.file for each in left_out] == [long, "a.png"]
    assert all("no such picture file" in each.reason for each in left_out)


def test_accents_may_be_composed_or_decomposed(place):
    for folder, name in (("references", "coffee"), ("distorted", "coffee_1")):
        path = place / folder / f"{name}.png"
        path.rename(path.with_name(f"{name}e\u0301.png"))  # as archives of macOS have it
    rows = read(place)
    rows[3] |= {"dist_im": "coffee_1\u00e9.png", "ref_im": "Coffee\u00c9.png"}
    write(place, rows[:4])
    pairs, _ = pair_published(
        read_published(place / "published.csv"), place / "references", place / "distorted"
    )
    assert [pair.reference.name for pair in pairs] == ["astronaut.png", "coffeee\u0301.png"]


def test_one_folder_within_the_other_counts_each_file_once(place):
    folder = place / "distorted"
    (place / "references").rename(folder / "references")
    (folder / "more.png").write_bytes((folder / "coffee_1.png").read_bytes())
    (folder / "references/more.png").write_bytes((folder / "coffee_1.png").read_bytes())
    _, left_out = pair_published(
        read_published(place / "published.csv"), folder / "references", folder
    )
    assert sorted(each.file for each in left_out) == ["more.png", "references/more.png"]


def test_published_scores_that_are_all_nan_are_said(place, capsys):
    folders = [str(place / "references"), str(place / "distorted")]
    options = ["--against", str(place / "published.csv"), "--metrics", "gmsd"]
    write(place, [row | {"GMSD": "nan"} for row in read(place)])
    main([*folders, *options])
    shown = capsys.readouterr()
    assert not shown.out and "published.csv: holds no finite gmsd of the 6 pictures" in shown.err


def test_none_of_the_pictures_is_there(place, tmp_path):
    with pytest.raises(InputError, match="none of the 6 pictures"):
        pair_published(read_published(place / "published.csv"), tmp_path, tmp_path)
    with pytest.raises(InputError, match="has no column of fsimc; it has ssim, gmsd"):
        published = str(place / "published.csv")
        main([str(place), str(place), "--metrics", "fsimc", "--against", published])


def test_another_matrix_for_sff(place, tmp_path):
    """The scores change with the matrix and are the same with our own given as a file."""
    pairs, _ = pair_published(
        read_published(place / "published.csv"), place / "references", place / "distorted"
    )
    own = load_matrix()
    np.save(tmp_path / "own.npy", own)
    np.save(tmp_path / "other.npy", own[:, ::-1])
    scores = [
        [each.scores["sff"] for each in score_pairs(pairs, ["sff"], sff_matrix=matrix)[0]]
        for matrix in (None, tmp_path / "own.npy", tmp_path / "other.npy")
    ]
    assert scores[0] == scores[1]
    assert scores[0] != scores[2]
    np.save(tmp_path / "bad.npy", own[:, :5])
    for name in ("bad.npy", "none.npy"):
        with pytest.raises(InputError, match=f"{name}: is not a matrix for SFF"):
            score_pairs(pairs, ["sff"], sff_matrix=tmp_path / name)


def write_pairs(place: Path, *pairs: tuple[str, str]) -> Path:
    table = place / "pairs.csv"
    table.write_text("\n".join(["reference,distorted", *(",".join(pair) for pair in pairs)]))
    return table


def test_pairs_from_a_table(place):
    table = write_pairs(
        place,
        ("references/coffee.png", "distorted/coffee_3.png"),
        ("references/astronaut.png", "distorted/astronaut_1.png"),
        ("references/coffee.png", "distorted/coffee_5.png"),
    )
    main([str(table), "--metrics", "ssim", "--out", str(place / "scores.csv")])
    with (place / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    published = {row["dist_im"]: float(row["SSIM"]) for row in read(place)}
    assert [Path(row["distorted"]).name for row in rows] == [
        "coffee_3.png", "coffee_5.png", "astronaut_1.png"
    ]  # fmt: skip
    for row in rows:
        assert float(row["ssim"]) == pytest.approx(published[Path(row["distorted"]).name], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pairs.csv", "Reference, Distorted\n{r}, {d}_1.png\n./{r} ,{d}_3.png\n"),
        ("pairs.tsv", "distorted\tREFERENCE\n{d}_1.png\t{r}\n{d}_3.png\t{r}\n"),
        ("pairs.TXT", "reference;distorted\n{r};{d}_1.png\n{r};./{d}_3.png\n"),
    ],
)
def test_tables_of_pairs_as_people_write_them(place, name, text):
    (place / name).write_text(text.format(r="references/coffee.png", d="distorted/coffee"))
    main([str(place / name), "--metrics", "ssim", "--out", str(place / "scores.csv")])
    with (place / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["distorted"]).name for row in rows] == ["coffee_1.png", "coffee_3.png"]
    assert len(read_pairs(place / name)) == 1  # its reference is decoded once


def test_tables_of_pairs_that_cannot_be_used(place):
    pair = ("references/coffee.png", "distorted/coffee_3.png")
    for other in ("./distorted/coffee_3.png", f"{place}/distorted/coffee_3.png"):
        with pytest.raises(InputError, match=r"line 3: .* is there twice, first in line 2"):
            main([str(write_pairs(place, pair, (pair[0], other)))])
    long = ("references/coffee.png", f"{'x' * 300}.png")
    assert len(read_pairs(write_pairs(place, pair, long))[0].distorted) == 2
    with pytest.raises(InputError, match="is there twice"):
        main([str(write_pairs(place, pair, pair))])
    with pytest.raises(InputError, match="line 2: lacks its reference"):
        main([str(write_pairs(place, ("", "a.png")))])
    with pytest.raises(InputError, match="give no more"):
        main([str(write_pairs(place, pair)), "a.png"])
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        main([str(write_pairs(place, ("none.png", "a.png")))])
