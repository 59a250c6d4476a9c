"""One static HTML page that tells the story of a demonstration: no server, pictures beside it."""

import html
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distortions import DISTORTIONS
from fr_metrics import METRICS, HistogramEqualization
from mlsp import figures
from mlsp.benchmark_run import PREDICTIONS_FILE, SUMMARY_FILE
from mtl.correlation import plcc, srocc
from mtl.files import read_table, write_atomically
from mtl.kadis.generate import EQUALIZATION
from mtl.kadis.plan import read_manifest
from mtl.kadis.pristine import pristine_crop
from mtl.kadis.shards import Shard, read_stats
from mtl.learning_curves import learning_curve, read_log
from mtl.pictures import read_picture
from mtl.training_loop import versions

PAGE = "index.html"
REGRESSORS = {"mlp": "MLSP + the paper's network (MLP)", "svr": "MLSP + support vectors (SVR)"}


@dataclass(frozen=True)
class Places:
    """Where the parts of a demonstration are."""

    photographs: Path
    data: Path
    run: Path
    benchmark: Path
    report: Path


@dataclass(frozen=True)
class _Rated:
    """The data set's images: raw scores and human rating."""

    scores: Mapping[str, np.ndarray]
    training: np.ndarray
    ratings: np.ndarray


def write_report(
    places: Places,
    ratings: Mapping[tuple[int, int], float],
    shown: str,
    seconds: Mapping[str, float],
) -> Path:
    """Draw the pictures and write the page; returns the page's path.

    Args:
        places: the finished parts.
        ratings: human rating by distortion and level.
        shown: file name of the photograph on the contact sheet.
        seconds: how long each stage took, by name, where known.
    """
    manifest = read_manifest(places.data)
    rated = _rated(places.data, manifest["plan"], ratings)
    log = read_log(places.run)
    summary = read_table(places.benchmark / SUMMARY_FILE, ("method", "srocc_median"))
    tests = _predictions(places.benchmark / PREDICTIONS_FILE)
    places.report.mkdir(parents=True, exist_ok=True)

    size = tuple(manifest["plan"]["size"])
    photo = pristine_crop(read_picture(places.photographs / shown), size)
    figures.contact_sheet(places.report / "distortions.png", photo)
    equalization = HistogramEqualization.from_json((places.data / EQUALIZATION).read_text())
    raw = {m: s[rated.training] for m, s in rated.scores.items()}
    figures.score_histograms(places.report / "histograms.png", raw, equalization.transform(raw))
    learning_curve(places.report / "learning.png", log)
    panels = {
        f"{REGRESSORS[kind]}\nmedian split, SROCC {srocc(predicted, true):.3f}": (true, predicted)
        for kind, (true, predicted) in tests.items()
    }
    figures.scatter(places.report / "scatter.png", panels, "mean human rating (KADID-10k)")
    for name in (SUMMARY_FILE, PREDICTIONS_FILE):
        shutil.copyfile(places.benchmark / name, places.report / name)
    page = places.report / PAGE
    write_atomically(page, _page(manifest, rated, log, summary, seconds))
    return page


def _rated(data: Path, plan: Mapping, ratings: Mapping[tuple[int, int], float]) -> _Rated:
    records, training = [], []
    for fields in plan["shards"]:
        shard = Shard(**fields)
        found = (read_stats(data, shard) or {"records": []})["records"]
        records += found
        training += [shard.split == "train"] * len(found)
    return _Rated(
        {m: np.array([r["scores"][m] for r in records]) for m in plan["metrics"]},
        np.array(training),
        np.array([ratings[r["distortion"], r["level"]] for r in records]),
    )


def _predictions(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rows = read_table(path, ("method", "score", "predicted"))
    kinds = dict.fromkeys(row["method"] for row in rows)
    return {
        kind: (
            np.array([float(row["score"]) for row in rows if row["method"] == kind]),
            np.array([float(row["predicted"]) for row in rows if row["method"] == kind]),
        )
        for kind in kinds
    }


def _page(
    manifest: Mapping,
    rated: _Rated,
    log: Sequence[Mapping[str, float]],
    summary: Sequence[Mapping[str, str]],
    seconds: Mapping[str, float],
) -> str:
    plan = manifest["plan"]
    photographs = len(plan["photographs"])
    regressors = [
        (
            REGRESSORS[row["method"]],
            f"unseen photographs, median of {row['repetitions']} splits",
            *(
                f"{float(row[f'{m}_median']):.3f}"
                f" <small>[{float(row[f'{m}_q1']):.3f}, {float(row[f'{m}_q3']):.3f}]</small>"
                for m in ("srocc", "plcc")
            ),
        )
        for row in summary
    ]
    metrics = []
    for m, scores in rated.scores.items():
        sign = 1 if METRICS[m].higher_is_better else -1
        metrics.append(
            (
                f"{METRICS[m].title} <small>with the reference</small>",
                f"all {len(scores)} images, nothing trained",
                f"{srocc(sign * scores, rated.ratings):.3f}",
                f"{plcc(sign * scores, rated.ratings):.3f}",
            )
        )
    names = [DISTORTIONS[t].name.replace("_", " ") for t in plan["types"]]
    if plan["types_per_reference"] == len(names):
        given = ", ".join(names)
    else:
        given = f"{plan['types_per_reference']} of {len(names)} types, drawn at random"
    rejected = "".join(
        f"<li>{html.escape(r['file'])}: {html.escape(r['reason'])}</li>"
        for r in manifest["rejected"]
    )
    timing = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    made_with = ", ".join(f"{name} {version}" for name, version in versions().items())
    best = min(log, key=lambda row: row["validation_loss"])
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DeepFL-IQA: demonstration</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem;
  color: #222; background: #fff; }}
h1 {{ line-height: 1.2; }}
h2 {{ margin-top: 2.5rem; border-bottom: 1px solid #ddd; }}
img {{ max-width: 100%; height: auto; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #e5e5e5; }}
th:nth-child(n+3), td:nth-child(n+3) {{ text-align: right; white-space: nowrap; }}
small {{ color: #666; }}
.scroll {{ overflow-x: auto; }}
.note {{ background: #fff6dd; border-left: 4px solid #d9a400; padding: .6rem 1rem; }}
</style>
<h1>From {photographs} photographs to a quality score</h1>
<p class="note"><strong>This is a demonstration, not a benchmark.</strong> It runs every stage of
DeepFL-IQA for real, but on {photographs} photographs instead of 140,000, for {len(log)} epochs from
random weights instead of ten from ImageNet's, on small crops. Its human target is KADID-10k's
published mean rating of each distortion and level, not ratings of these very pictures. The figures
show that the parts work together; they say nothing about how good the method is.</p>

<h2>Result</h2>
<div class="scroll"><table>
<tr><th>judge<th>judged on<th>SROCC<th>PLCC</tr>
{_rows(regressors)}
{_rows(metrics)}
</table></div>
<p><small>Correlation with the mean human rating; quartiles over the splits in brackets. No split
has a photograph in more than one of its training, validation and test parts. PLCC is of the raw
predictions, without a fitted logistic. The network saw the images of its own training split,
without any human rating, before the regressor was trained.</small></p>
<p><img src="scatter.png" alt="Predicted against true rating of test pictures"></p>

<h2>1 · Distorted versions</h2>
<p>{len(DISTORTIONS)} distortion types at five levels, shown on one photograph. The data set gives
each photograph {given}, at all levels: {len(rated.ratings)} images of
{plan["size"][1]}×{plan["size"][0]} pixels.</p>
{f"<p>Left out:</p><ul>{rejected}</ul>" if rejected else ""}
<p><img src="distortions.png" alt="Contact sheet: all distortions at all levels"></p>

<h2>2 · Full-reference scores, before and after histogram equalisation</h2>
<p>{len(plan["metrics"])} metrics score every version against its reference. Equalisation, fitted on
the training split, spreads each metric's scores evenly over 0..1.</p>
<p><img src="histograms.png" alt="Histograms of the scores before and after equalisation"></p>

<h2>3 · Multi-task training without the reference</h2>
<p>InceptionResNetV2 with one head per metric. The epoch with the smallest validation loss, number
{best["epoch"]:.0f} with {best["validation_loss"]:.3f}, gave the features.</p>
<p><img src="learning.png" alt="Learning curve"></p>

<h2>How it was made</h2>
<p>{html.escape(made_with)}.{f" Seconds of the last run: {html.escape(timing)}." if timing else ""}
Tables: <a href="{SUMMARY_FILE}">{SUMMARY_FILE}</a>,
<a href="{PREDICTIONS_FILE}">{PREDICTIONS_FILE}</a>.</p>
</html>
"""


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("<tr>" + "".join(f"<td>{cell}" for cell in row) + "</tr>" for row in rows)
