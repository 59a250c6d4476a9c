"""The installed program on real photographs, from the demonstration to a prediction."""

import csv
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from mlsp.demonstration.samples import PHOTOGRAPHS
from scripts.check_results import check_rows, differences

RESULTS = Path(__file__).resolve().parents[2] / "results"

# Height and width of the demonstration's images. The program that judges two of them at once is
# compiled by then.
SIZE = (192, 256)

DEMO = (
    *("demo", "--out", "demo", "--types", "gaussian_blur", "jpeg", "--epochs", "1"),
    *("--crop", "80", "80", "--svr-repetitions", "3", "--mlp-repetitions", "1"),
    *("--mlp-epochs", "1", "--mlp-learning-rates", "1e-3"),
)


@pytest.fixture(scope="module")
def deepfl(tmp_path_factory):
    """Run the installed program in a folder of its own; returns what it did."""
    place = tmp_path_factory.mktemp("work")
    program = Path(sys.executable).with_name("deepfl")
    assert program.exists(), "install the project first: make test"

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [program, *arguments], cwd=place, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
        return done

    run.place = place
    return run


@pytest.fixture(scope="module")
def demo(deepfl):
    """The demonstration at its smallest."""
    return deepfl(*DEMO), deepfl.place / "demo"


def test_the_demonstration_reports_and_says_what_it_is(demo):
    done, folder = demo
    assert "not a benchmark" in done.stderr
    assert "next: deepfl predict" in done.stderr
    page = (folder / "report" / "index.html").read_text()
    assert "This is a demonstration, not a benchmark." in page

    class Pictures(HTMLParser):
        sources: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            if tag == "img":
                Pictures.sources.append(dict(attrs)["src"])

    Pictures().feed(page)
    assert sorted(Pictures.sources) == [
        "distortions.png",
        "histograms.png",
        "learning.png",
        "ranking.png",
        "scatter.png",
    ]
    for source in Pictures.sources:
        picture = cv2.imread(str(folder / "report" / source))
        assert picture is not None and picture.shape[1] > 400 and picture.std() > 10, source


def test_every_stage_left_what_it_should(demo):
    _, folder = demo
    images = len(PHOTOGRAPHS) * 2 * 5
    features = np.load(folder / "features" / "features.npy", mmap_mode="r")
    assert features.shape == (images, 16_928 // 4) and np.isfinite(features).all()
    with (folder / "benchmark" / "summary.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"svr", "mlp"}
    assert all(-1 <= float(row["srocc_median"]) <= 1 for row in rows.values())
    with (folder / "benchmark" / "predictions.csv").open() as file:
        tested = {row["image"].split("/")[0] for row in csv.DictReader(file)}
    assert len(tested) in (2, 3, 4)  # two of ten photographs a split, two regressors


def test_the_published_figures_are_those_of_this_code(demo):
    """What a small re-run gives is what it gave when results/ was measured."""
    _, folder = demo
    assert differences(RESULTS / "check.csv", check_rows(folder)) == []


def test_a_second_run_says_that_all_is_done(demo, deepfl):
    done = deepfl(*DEMO)
    assert "all is done" in done.stderr
    refused = deepfl(*DEMO, "--seed", "1", code=2)
    assert "other settings" in refused.stderr.splitlines()[-1]


def test_prediction_prints_a_score_on_the_ratings_scale(demo, deepfl):
    photo = "demo/photographs/chelsea.png"
    crops = ["left.png", "right.png"]
    photograph = cv2.imread(str(deepfl.place / photo))
    for name, left in zip(crops, (0, photograph.shape[1] - SIZE[1]), strict=True):
        cv2.imwrite(str(deepfl.place / name), photograph[: SIZE[0], left : left + SIZE[1]])
    done = deepfl("predict", *crops, "--model", "demo/quality")
    scores, names = zip(*(line.split("\t") for line in done.stdout.splitlines()), strict=True)
    assert list(names) == crops and all(0 < float(score) < 6 for score in scores)
    weak = deepfl("predict", photo, "--model", "demo/run")
    score, name = weak.stdout.strip().split("\t")
    assert name == photo and 0 <= float(score) <= 1
    assert "weakly supervised" in weak.stderr
    included = deepfl("predict", *crops)
    assert "KADID-10k" in included.stderr
    assert all(2 < float(line.split("\t")[0]) < 5 for line in included.stdout.splitlines())


def test_own_rated_pictures_train_a_regressor(demo, deepfl):
    place = deepfl.place
    done = deepfl("distort", "demo/photographs", "--type", "jpeg", "--level", "1", "5",
                  "--out", "large")  # fmt: skip
    assert "20 pictures" in done.stderr
    rows = []
    for path in sorted((place / "large").iterdir()):
        reference, _, level = path.stem.rsplit("_", 2)
        image = cv2.imread(str(path))[:96, :128]
        (place / "rated").mkdir(exist_ok=True)
        cv2.imwrite(str(place / "rated" / path.name), image)
        rows.append(f"{path.name},{6 - int(level)},{reference}")
    rows.append("missing.png,3,missing")
    (place / "rated" / "ratings.csv").write_text("\n".join(["image,score,reference", *rows]))
    done = deepfl("benchmark", "rated/ratings.csv", "--model", "demo/run", "--out", "own",
                  "--repetitions", "3")  # fmt: skip
    assert "left out: missing.png" in done.stderr
    header, svr, brisque = done.stdout.strip().splitlines()
    assert header.split()[2:] == ["SROCC", "PLCC", "fitted", "KROCC", "RMSE"]
    assert svr.split()[:4] == ["ratings", "random", "run", "svr"] and "brisque svr" in brisque
    # It was trained on them, so they are judged only when that is asked for.
    done = deepfl("predict", "rated", "--model", "own", "--out", "predicted.csv")
    assert "pictures that own was trained on" in done.stderr and "--seen" in done.stderr
    done = deepfl("predict", "rated", "--model", "own", "--out", "predicted.csv", "--seen")
    with (place / "predicted.csv").open() as file:
        predicted = list(csv.DictReader(file))
    assert len(predicted) == 20
    assert {"image", "quality", "ssim", "gmsd"} <= predicted[0].keys()


def test_scores_of_two_folders_and_of_two_files(demo, deepfl):
    place = deepfl.place
    photograph = cv2.imread(str(place / "demo" / "photographs" / "chelsea.png"))
    (place / "pristine").mkdir()
    cv2.imwrite(str(place / "pristine" / "chelsea.png"), photograph[:192, 100:300])
    deepfl("distort", "pristine/chelsea.png", "--type", "1", "--level", "4",
           "--out", "chelsea_blurred.png")  # fmt: skip
    done = deepfl("score", "pristine/chelsea.png", "chelsea_blurred.png",
                  "pristine/chelsea.png")  # fmt: skip
    header, blurred, identical = done.stdout.rstrip().splitlines()
    assert header.split()[0] == "↑SSIM"
    assert float(identical.split()[1]) == 1.0 and float(blurred.split()[1]) < 0.95
    (place / "versions").mkdir()
    (place / "chelsea_blurred.png").rename(place / "versions" / "chelsea_01_04.png")
    (place / "versions" / "chelsea_01_05.png").write_text("no picture")
    done = deepfl("score", "pristine", "versions", "--metrics", "gmsd", "ssim",
                  "--out", "scores.csv")  # fmt: skip
    assert "1 pictures scored, 1 left out" in done.stderr
    with (place / "scores.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["reference"].endswith("chelsea.png") and 0 < float(row["gmsd"]) < 0.5
    assert list(row) == ["distorted", "reference", "ssim", "gmsd"]


def test_a_contact_sheet_is_drawn(demo, deepfl):
    photograph = cv2.imread(str(deepfl.place / "demo" / "photographs" / "china.jpg"))
    cv2.imwrite(str(deepfl.place / "china.png"), photograph[::2, ::2])
    deepfl("distort", "china.png", "--out", "sheet.png")
    assert cv2.imread(str(deepfl.place / "sheet.png")).shape[1] > 1000
