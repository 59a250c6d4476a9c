"""The report of a run: nothing is missing, what is missing is said, and a browser shows it."""

import html
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError

from deepfl.program import main
from mlsp.comparisons.networks_table import draw_networks, write_networks
from mlsp.evaluation.benchmark_results import Judged, draw_cross, draw_scatter, write_results
from mlsp.evaluation.benchmarking import Method, Rated, compare_methods, random_splits
from mlsp.regression import SVRSettings
from mlsp.report.report import PAGE, Remarks, ReportConfig, write_report
from mlsp.report.web_page import Figure, Missing, Number, Picture, Section, Table, page
from mtl.kadis.manifest import plan_digest, read_manifest
from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture
from mtl.runtime.tables.csv_tables import read_table, table_text
from mtl.training.multitask.config import PLAN_DIGEST, TrainConfig
from mtl.training.settings import as_json

# Whatever comes from files may be hostile: names of folders, databases, photographs.
FOLDER = "<script>document.title='hacked'<b>&'"
DATABASE = '<img src="gone.png">'
PHOTOGRAPH = "<script>alert(1)</script>.jpg"

VOID = {"br", "img", "link", "meta"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


class Page(HTMLParser):
    """What a page holds; an element that is not closed is an error."""

    def __init__(self, text: str):
        super().__init__()
        self.pictures: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.scripts = 0
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self._open += [] if tag in VOID else [tag]
        if tag == "img":
            self.pictures.append(found)
        if tag == "script":
            self.scripts += 1
        if tag == "a":
            self.links.append(found["href"] or "")
        if "id" in found:
            self.ids.append(found["id"] or "")
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "script" in self._open or "style" in self._open:
            return
        self.text += data
        if self._open and {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def place(tmp_path_factory, scored) -> SimpleNamespace:
    """A data set, a run on it, and a benchmark of two databases, as the commands leave them."""
    root = tmp_path_factory.mktemp("report")
    data = shutil.copytree(scored, root / "kadis")
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["rejected"] = [{"file": PHOTOGRAPH, "reason": "is not a picture"}]
    (data / "manifest.json").write_text(json.dumps(manifest))

    run = root / "run"
    run.mkdir()
    settings = as_json(TrainConfig(data, run, epochs=4, batch_size=8))
    digest = plan_digest(read_manifest(data)["plan"])
    (run / "config.json").write_text(json.dumps(settings | {PLAN_DIGEST: digest}))
    rows = []
    for epoch, loss in enumerate((0.5, 0.1, 0.2), start=1):
        row: dict[str, float] = {"epoch": epoch, "train_loss": loss, "validation_loss": loss}
        row |= {"mean_srocc": 0.6, "mean_plcc": 0.7}
        row |= {f"{measure}_{metric}": 0.1 * epoch for measure in ("srocc", "plcc")
                for metric in ("ssim", "gmsd")}  # fmt: skip
        rows.append(row | {"images_per_second": 20.0})
    (run / "log.csv").write_text(table_text(rows))

    pictures = root / "rated"
    (pictures / FOLDER).mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{FOLDER}/{k:02d}.png" for k in range(40)]
    for name in names:
        image = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
        (pictures / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    scores = rng.uniform(1, 5, 40)
    features = np.c_[scores + rng.normal(size=40), rng.normal(size=(40, 3))]
    types = ["blur" if k % 2 else "noise & more" for k in range(40)]
    splits = random_splits([str(k // 4) for k in range(40)], 3, seed=0)
    tested = []
    for database, other in ((DATABASE, "second"), ("second", DATABASE)):
        methods = [
            Method(name, features[:, columns], SVRSettings(), {other: features[:, columns]})
            for name, columns in (("a <svr>", slice(4)), ("b $svr", slice(1, 4)))
        ]
        rated = Rated(scores, types, others={other: scores})
        judges = {"ssim": scores + 100}
        result = compare_methods(methods, rated, splits, judges=judges)
        tested.append(Judged(database, "random", names, scores, result, root=pictures))
    benchmark = root / "benchmark"
    write_results(benchmark, tested)
    for each in tested:
        draw_scatter(benchmark, each)
    draw_cross(benchmark, tested)
    return SimpleNamespace(
        root=root, data=data, run=run, pictures=pictures, benchmark=benchmark, names=names
    )


@pytest.fixture
def alone(place, tmp_path) -> Path:
    """A run whose data set is gone, and with it the pictures that take longest to draw."""
    run = tmp_path / "run"
    run.mkdir()
    settings = json.loads((place.run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(settings | {"data": "elsewhere"}))
    return run


@pytest.fixture(scope="module")
def report(place) -> Path:
    return write_report(ReportConfig(place.run, (place.benchmark,))).parent


@pytest.fixture(scope="module")
def shown(report) -> Page:
    return Page((report / PAGE).read_text())


def test_every_picture_is_there_and_described(report, shown):
    names = [picture["src"] for picture in shown.pictures]
    assert {"distortions.png", "histograms.png", "learning.png", "scatter.png"} < set(names)
    assert {"scatter-1-2.png", "cross.png"} < set(names)
    assert sum(name.startswith("worst-1-1-") for name in names) == 8  # the test part of 40
    assert sum(name.startswith("worst-1-2-") for name in names) == 8
    for picture in shown.pictures:
        image = read_picture(report / picture["src"])
        assert image.std() > 10 and picture["alt"]
        assert [picture["height"], picture["width"]] == [str(side) for side in image.shape[:2]]
        if picture["src"].startswith("worst"):
            assert image.shape == (171, 256, 3)  # 200×300


def test_contents_and_files_are_linked(report, shown):
    inside = [link[1:] for link in shown.links if link.startswith("#")]
    assert len(shown.ids) == len(set(shown.ids)) and inside == shown.ids
    assert {"story", "data", "training", "benchmark-1", "making"} < set(inside)
    for link in shown.links:
        assert link.startswith("#") or (report / link).stat().st_size > 0
    assert not any("//" in link for link in shown.links)
    assert {path.name for path in report.iterdir()} == {
        PAGE, *(link for link in shown.links if not link.startswith("#"))
    }  # fmt: skip


def test_tables_hold_what_was_measured(place, shown):
    cells = [row for rows in shown.tables for row in rows]
    summary = read_table(place.benchmark / "summary.csv", ())
    assert len(summary) == 6
    for row in summary:
        median, q1, q3 = (float(row[f"srocc_{which}"]) for which in ("median", "q1", "q3"))
        (found,) = (
            each for each in cells
            if each[:4] == [row["database"], "random", row["method"], "3"]
        )  # fmt: skip
        assert found[4] == f"{median:.3f} [{q1:.3f}, {q3:.3f}]"
    for row in read_table(place.benchmark / "cross.csv", ()):
        start = [row["database"], row["tested_on"], "random", row["method"], row["pictures"]]
        assert any(each[:5] == start for each in cells)
    (heading, *types) = next(rows for rows in shown.tables if rows[0][0] == "distortion")
    assert heading == ["distortion", "a <svr>", "b $svr", "ssim"]
    assert {row[0] for row in types} == {"blur", "noise & more"}
    assert ["train", "3", "15"] in cells and ["validation", "1", "5"] in cells
    counted = next(rows for rows in shown.tables if rows[0][:2] == ["type", "level 1"])
    assert len(counted) == 1 + 25 and sum(int(row[-1]) for row in counted[1:]) == 20
    assert ["SSIM", "0.200", "0.200"] in cells  # of epoch 2, which has the smallest loss
    assert [PHOTOGRAPH, "is not a picture"] in cells


def test_the_story_and_the_worst_errors_are_told(place, shown):
    assert "4 photographs were distorted into 20 images" in shown.text
    assert "The best epoch is number 2 with a validation loss of 0.1000" in shown.text
    assert "3 epochs (of 4 planned) in batches of 8, from random weights" in shown.text
    rows = read_table(place.benchmark / "predictions.csv", ())
    errors = {
        row["image"]: float(row["predicted"]) - float(row["score"])
        for row in rows
        if row["database"] == DATABASE and row["method"] == "a <svr>"
    }
    worst = sorted(errors, key=lambda name: -abs(errors[name]))
    places = [shown.text.index(f"{name}true") for name in worst]
    assert places == sorted(places)
    assert f"error {errors[worst[0]]:+.3f}" in shown.text
    told = (
        f"On {DATABASE} (random split), the best of 2 method(s) trained on human scores is a <svr>"
    )
    assert told in shown.text
    # The metric correlates perfectly, but has a scale of its own.
    assert "that ssim" not in shown.text and "is ssim: its" not in shown.text


def test_names_from_files_are_text(report, shown):
    written = (report / PAGE).read_text()
    assert shown.scripts == 1  # the one that sorts
    for name in (FOLDER, DATABASE, PHOTOGRAPH, "a <svr>"):
        assert name not in written and name in shown.text
    assert "gone.png" not in [picture["src"] for picture in shown.pictures]
    assert "http" not in written and "@import" not in written


def test_parts_that_are_missing_are_said_with_a_remedy(place, alone, tmp_path):
    shown = Page(write_report(ReportConfig(alone)).read_text())
    assert f"The data set elsewhere is not there. deepfl report {alone} --data FOLDER" in shown.text
    assert f"deepfl train --data elsewhere --out {alone} continues" in shown.text
    assert f"deepfl benchmark RATINGS.csv --model {alone} --out benchmark" in shown.text
    assert "does not say with which versions" in shown.text
    assert shown.pictures == []

    bare = tmp_path / "bare"
    bare.mkdir()
    rows = [row for row in read_table(place.benchmark / "summary.csv", ())
            if row["database"] == "second"]  # fmt: skip
    (bare / "summary.csv").write_text(table_text(rows))
    text = Page(write_report(ReportConfig(alone, (bare,))).read_text()).text
    for name in ("distortions.csv", "cross.csv", "predictions.csv"):
        assert f"{name} is not there" in text


def test_photographs_that_are_gone_leave_the_stored_images(place, tmp_path):
    data = shutil.copytree(place.data, tmp_path / "kadis")
    (data / "photographs.txt").unlink()
    (data / "equalization.json").write_text("{}")
    out = tmp_path / "out"
    shown = Page(write_report(ReportConfig(place.run, data=data, out=out)).read_text())
    assert "Its photographs are no longer where they were: --photos FOLDER" in shown.text
    assert read_picture(out / "distortions.png").std() > 10
    assert "equalization.json is missing or damaged" in shown.text


def test_pictures_are_found_where_the_user_says(place, alone, tmp_path):
    def worst(*ratings: Path) -> tuple[int, str]:
        config = ReportConfig(alone, (place.benchmark,), ratings=ratings, worst=2)
        shown = Page(write_report(config).read_text())
        return sum(p["src"].startswith("worst") for p in shown.pictures), shown.text

    moved = tmp_path / "moved"
    place.pictures.rename(moved)
    try:
        (moved / "ratings.csv").write_text("image,score\n")
        number, text = worst()
        assert number == 0 and f"The pictures were not found ({place.pictures})" in text
        assert worst(moved / "ratings.csv")[0] == worst(moved)[0] == 4
        broken = tmp_path / "broken" / FOLDER
        broken.mkdir(parents=True)
        for name in place.names:
            (broken.parent / name).write_text("no picture")
        number, text = worst(broken.parent)
        assert number == 0 and text.count("is not a picture; replace or remove it") == 4
    finally:
        (moved / "ratings.csv").unlink()
        moved.rename(place.pictures)


def test_another_report_in_the_same_folder_leaves_nothing_of_the_first(place, alone):
    write_report(ReportConfig(alone, (place.benchmark,)))
    assert (alone / "report" / "scatter.png").is_file()
    write_report(ReportConfig(alone, (place.benchmark,), worst=0))
    assert not list((alone / "report").glob("worst-*"))
    write_report(ReportConfig(alone))
    assert [path.name for path in (alone / "report").iterdir()] == [PAGE]


def test_the_same_report_has_the_same_bytes(place, report, tmp_path):
    write_report(ReportConfig(place.run, (place.benchmark,), out=tmp_path / "again"))
    for path in report.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_remarks_come_first(place, alone):
    more = Section("more", "More & more", [])
    remarks = Remarks("A <title>", ("Know this.", "And that."), None, (more,), "Not here.")
    config = ReportConfig(alone, (place.benchmark,))
    shown = Page(write_report(config, remarks).read_text())
    assert shown.text.index("Know this. And that.") < shown.text.index("Contents")
    assert "A <title>" in shown.text and "Not here." in shown.text
    assert "More & more" in shown.text and shown.ids[-2:] == ["more", "making"]
    assert not [p for p in shown.pictures if p["src"].startswith("worst")]


def test_a_comparison_of_networks_is_shown(place, alone, tmp_path):
    folder = shutil.copytree(place.benchmark, tmp_path / "networks")
    times = {"best_epoch": 3.0, "epoch_seconds": 4.25, "training_seconds": 12.5}
    rows = [
        {"network": name, "title": title, "init": "imagenet", "parameters": size, "splits": 1}
        | {"srocc": 0.9, "plcc": 0.8, "rmse": 0.5, "mae": float("nan"), **times}
        | {"srocc_q1": 0.9, "srocc_q3": 0.9, "prediction_ms": 7.75}
        for name, title, size in (("first", "First <net>", 59.849), ("second", "Second", 8.8))
    ]
    write_networks(folder, rows)
    draw_networks(folder, rows)
    page = Page(write_report(ReportConfig(alone, (folder, place.benchmark))).read_text())
    assert "benchmark-1-networks" in page.ids and "benchmark-2-networks" not in page.ids
    (table,) = (table for table in page.tables if "starts from" in table[0])
    measured = ["59.8", "0.900", "0.800", "0.500", "–", "4.2", "12", "7.8"]
    assert [cell.strip() for cell in table[1]] == ["First <net>", "imagenet", *measured]
    assert "networks.png" in [picture["src"] for picture in page.pictures]
    assert (alone / "report" / "networks.png").is_file()
    write_report(ReportConfig(alone, (place.benchmark,)))
    assert not (alone / "report" / "networks.png").exists()
    (folder / "networks.csv").write_text((folder / "networks.csv").read_text().replace("8.8", "x"))
    with pytest.raises(InputError, match=r"networks\.csv: parameters 'x' is not a number"):
        write_report(ReportConfig(alone, (folder,)))


MISTAKES = {
    "gone": "gone: no such folder",
    "{data}": "config.json: is missing or is not of a training run",
    "{run} --worst -1": "--worst -1: must not be negative",
    "{run} --data gone": "gone: is not a data set",
    "{run} --data {other}": "is not the data set that {run} was trained on",
    "{run} --photos gone": "gone: no such folder",
    "{run} --ratings gone": "gone: no such folder or file",
    "{run} --benchmark {run}": "is not a benchmark (summary.csv is missing)",
    "{run} --benchmark {words}": "srocc_median 'high' is not a number",
    "{run} --benchmark {endless}": "repetitions 'inf' is not a number",
    "{run} --benchmark {lists}": "benchmark.json: is damaged",
    "{run} --out {data}": "which is not of a report; choose another --out",
    "{run} --out {data}/manifest.json": "is a file; choose another --out",
    "{torn}": "log.csv: is damaged",
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.items(), ids=list(MISTAKES))
def test_a_mistake_is_one_line_and_writes_nothing(
    place, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other"
    shutil.copytree(place.data, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["plan"]["seed"] += 1
    (other / "manifest.json").write_text(json.dumps(manifest))
    for name in ("words", "endless", "lists", "torn"):
        (tmp_path / name).mkdir()
    header = "database,protocol,method,repetitions,srocc_median\n"
    (tmp_path / "words" / "summary.csv").write_text(f"{header}a,random,svr,3,high\n")
    (tmp_path / "endless" / "summary.csv").write_text(f"{header}a,random,svr,inf,0.5\n")
    (tmp_path / "lists" / "summary.csv").write_text(f"{header}a,random,svr,3,0.5\n")
    (tmp_path / "lists" / "benchmark.json").write_text("[1]")
    shutil.copyfile(place.run / "config.json", tmp_path / "torn" / "config.json")
    (tmp_path / "torn" / "log.csv").write_text("epoch,validation_loss\n1\n")
    before = sorted(place.root.rglob("*")), sorted(tmp_path.rglob("*"))
    names = {"data": place.data, "run": place.run, "other": other} | {
        name: tmp_path / name for name in ("words", "endless", "lists", "torn")
    }
    assert main(["report", *arguments.format(**names).split()]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("deepfl report: ") and message.format(**names) in error
    assert (sorted(place.root.rglob("*")), sorted(tmp_path.rglob("*"))) == before


def test_a_page_that_is_not_ours_is_kept(place, tmp_path):
    (tmp_path / PAGE).write_text("<p>my own page")
    with pytest.raises(InputError, match=r"holds index\.html"):
        write_report(ReportConfig(place.run, out=tmp_path))
    assert (tmp_path / PAGE).read_text() == "<p>my own page"


def browse(folder: Path, text: str, script: str, scratch: Path, width: int = 1280) -> Any:
    """What a script, run on a page when all its pictures have come or failed, returns.

    The page is in a frame of the given width, since a window has a smallest one.
    """
    examined = f"""<script>addEventListener("load", () => parent.postMessage(
        JSON.stringify((() => {{{script}}})()), "*"));</script></body>"""
    (folder / "examined.html").write_text(text.replace("</body>", examined))
    frame = scratch / "frame.html"
    frame.write_text(
        "<!doctype html><title>nothing came</title><script>addEventListener('message', (e) => {"
        "document.title = e.data; });</script>"
        f"<iframe width={width} height=900 src='{(folder / 'examined.html').as_uri()}'></iframe>"
    )
    try:
        done = subprocess.run(
            [
                CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                "--virtual-time-budget=5000", f"--user-data-dir={scratch / 'profile'}",
                "--window-size=1400,1000", frame.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    finally:
        (folder / "examined.html").unlink()
    start, end = (done.stdout.index(tag) for tag in ("<title>", "</title>"))
    return json.loads(html.unescape(done.stdout[start + len("<title>") : end]))


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_all_of_it(report, shown, tmp_path, width):
    script = """
        const broken = [...document.images].filter((i) => !i.complete || !i.naturalWidth);
        const wide = [...document.querySelectorAll("body *")].filter((e) =>
          e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll"));
        return {
          broken: broken.map((i) => i.src), wide: wide.map((e) => e.outerHTML.slice(0, 99)),
          width: innerWidth, across: document.scrollingElement.scrollWidth,
          images: document.images.length, tables: document.querySelectorAll("th button").length,
          text: document.querySelector("h1").textContent, title: document.title,
        };
    """
    found = browse(report, (report / PAGE).read_text(), script, tmp_path, width)
    assert found.pop("across") <= found.pop("width") == width
    assert found == {
        "broken": [], "wide": [], "images": len(shown.pictures),
        "tables": sum(len(rows[0]) for rows in shown.tables),
        "text": "DeepFL-IQA: run", "title": "DeepFL-IQA: run",
    }  # fmt: skip


@needs_browser
def test_headings_sort_their_table(tmp_path):
    values = [2.0, None, 10.0, -1.5]
    rows = [(f"m{k}", Number(value), k) for k, value in enumerate(values)]
    text = page("t", [], [Section("s", "s", [Table(["name", "value", "k"], rows)])])
    script = """
        const heads = [...document.querySelectorAll("th")];
        const states = [];
        for (const k of [1, 1, 0, 0]) {
          heads[k].querySelector("button").click();
          states.push([heads.map((h) => h.getAttribute("aria-sort")),
            [...document.querySelectorAll("tbody tr")].map((r) => r.cells[0].textContent)]);
        }
        return states;
    """
    assert browse(tmp_path, text, script, tmp_path) == [
        [[None, "descending", None], ["m2", "m0", "m3", "m1"]],
        [[None, "ascending", None], ["m3", "m0", "m2", "m1"]],
        [["ascending", None, None], ["m0", "m1", "m2", "m3"]],
        [["descending", None, None], ["m3", "m2", "m1", "m0"]],
    ]


def test_markup_is_escaped_once():
    """Wherever a text stands, the page shows it as it is, and none of it is markup."""
    hostile = "<b a=\"1\" b='2'>&amp;\udcfc"
    body = [
        Missing(hostile, hostile, hostile),
        Figure(Picture(hostile, hostile, 1, 1), hostile),
        Table([hostile], [[hostile]], hostile),
    ]
    text = page(hostile, [hostile, hostile], [Section("s", hostile, body)])
    assert "<b " not in text
    assert "&lt;b a=&#34;1&#34; b=&#39;2&#39;&gt;&amp;amp;" in text
    found = Page(text)
    assert found.text.count(hostile) == 13
    assert found.pictures[0]["alt"] == found.pictures[0]["src"] == hostile


def test_a_cell_shows_its_number_and_sorts_by_it():
    rows = [[Number(1234.5678, 1, (0.5, 2))], [Number(None)], [Number(float("nan"))], [1234]]
    shown = page("t", [], [Section("s", "s", [Table(["n"], rows)])])
    assert "1,234.6 <small>[0.5, 2.0]</small>" in shown and 'data-sort="1234.5678"' in shown
    assert shown.count('data-sort="">–<') == 2
    assert 'data-sort="1234">1,234<' in shown


def test_a_value_that_a_template_needs_and_does_not_get_is_an_error():
    class Other:
        template = "report/templates/missing.html.jinja"

    with pytest.raises(UndefinedError, match="problem"):
        page("t", [], [Section("s", "s", [Other()])])


def test_settings_are_shown_as_a_person_reads_them(place, alone):
    settings = json.loads((alone / "config.json").read_text())
    changed = {"epochs": 1, "seed": 0, "width": 1.0, "batch_size": 8}
    (alone / "config.json").write_text(json.dumps(settings | changed))
    (table,) = Page(write_report(ReportConfig(alone)).read_text()).tables
    rows = dict(table)
    assert [rows[name] for name in changed] == ["1", "0", "1.0", "8"]
