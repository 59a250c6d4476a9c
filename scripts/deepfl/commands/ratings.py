"""Scores from raw ratings: raters are screened, their scales aligned, the agreement measured.

RAW.csv has the columns rater,image,score with scores 1 (bad) ... 5 (excellent), and, for test
questions, test with the accepted answers, such as 4|5 (empty or 0 elsewhere), or test (0 or 1) and
accepted. Raters are removed as KonIQ-10k's were: below 70 % of test questions, PLCC with the
preliminary MOS below 0.5, one score more than twice as often as all others together; each is in
removed.csv with the reason. scores.csv is what `deepfl finetune` and `deepfl benchmark` take.

--experts compares with experts' scores, --predictions says how many raters a model is as good as.

Example, with raters who are made up:
    deepfl ratings --simulate raw.csv
    deepfl ratings raw.csv --out rated
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepfl.command_line import parse
from mtl.ratings.reliability import Estimate
from mtl.ratings.simulation import SimulationSettings, raw_text, simulate
from mtl.ratings.study import (
    AGREEMENT_FILE,
    LEFT_OUT_FILE,
    RATERS_FILE,
    RELIABILITY_FILE,
    REMOVED_FILE,
    SCORES_FILE,
    TEST_SCORES_FILE,
    RatingsConfig,
    Study,
    run_ratings,
)
from mtl.runtime.files import write_atomically
from mtl.runtime.paths.outputs import check_output, check_output_folder, check_text_output
from mtl.runtime.progress import say

SIMULATE = "--simulate"

WRITTEN = (
    *(SCORES_FILE, TEST_SCORES_FILE, RATERS_FILE, REMOVED_FILE, LEFT_OUT_FILE),
    *(AGREEMENT_FILE, RELIABILITY_FILE),
)
"""Files in the folder of results that a table in it may not be."""

# With fewer, the PLCC of honest raters falls below 0.5 by chance in more than one case of fifty:
# results/ratings_screening.csv.
ADVISED_RATINGS = 80


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    if list(arguments[:1]) == [SIMULATE] and len(arguments) == 2:
        check_text_output(Path(arguments[1]), option=SIMULATE)
        settings = SimulationSettings()
        made = simulate(settings, np.random.default_rng(0))
        write_atomically(Path(arguments[1]), raw_text(made.raw))
        say(
            f"{arguments[1]}: {len(made.raw.score)} ratings of {settings.raters} simulated raters,"
            f" {made.cheating.sum()} of whom cheat"
        )
        say(f"next: deepfl ratings {arguments[1]} --out rated")
        return
    config = parse(
        RatingsConfig,
        arguments,
        program="deepfl ratings",
        description=__doc__ or "",
        positional=("raw",),
    )
    check_output_folder(config.out)
    given = [path for path in (config.raw, config.experts, config.predictions) if path is not None]
    for name in WRITTEN:
        check_output(config.out / name, given)
    study = run_ratings(config, progress=True)
    print_summary(study)
    typical = np.median(study.screening.ratings)
    if typical < ADVISED_RATINGS:
        say(
            f"raters gave {typical:.0f} ratings each (median); below {ADVISED_RATINGS} or so,"
            " honest ones are taken for outliers by chance"
        )
    left_out = int((~(study.written | study.tests_written)).sum())
    if left_out:
        say(f"{config.out / LEFT_OUT_FILE}: {left_out} images with too few votes")
    say(f"{config.out / REMOVED_FILE}: why raters were removed; {RATERS_FILE}: who was kept")
    say(f"{config.out / SCORES_FILE}: scores of {study.written.sum()} images; {AGREEMENT_FILE}")
    if config.pictures is not None:
        say(f"next: deepfl benchmark {config.out / SCORES_FILE} --model RUN --out benchmark")


def print_summary(study: Study) -> None:
    """Raters by step, then every measure with its interval."""
    reasons = study.screening.reasons
    for reason in dict.fromkeys(filter(None, reasons)):
        print(f"removed, {reason}: {reasons.count(reason)}")
    print(f"kept: {reasons.count('')} of {len(reasons)} raters")
    votes = study.scores.votes[study.written]
    print(f"images: {len(votes)}, with {votes.min()} to {votes.max()} votes")
    icc = study.intra_class["rescaled"]
    print(f"ICC of single ratings: {_shown(icc.single)}, of means: {_shown(icc.mean)}")
    if study.groups is not None:
        halves = study.groups
        print(f"SROCC of random halves, {halves.votes[-1]:.1f} votes each: {_shown(halves.halves)}")
    if study.experts is not None:
        found = study.experts
        print(
            f"experts, {found.images} images: MOS_experts = {found.slope:.3f} MOS"
            f" {'-' if found.offset < 0 else '+'} {abs(found.offset):.3f}, SROCC"
            f" {_shown(found.srocc)}, PLCC {_shown(found.plcc)}, RMSE {_shown(found.rmse)}"
        )
    if study.model is not None:
        groups, worth = study.model
        print(f"predictions, {groups.images} images: SROCC {_shown(worth.srocc)}")
        print(f"predictions are as good as {_votes(worth.votes, groups.votes[-1])} raters")


def _shown(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _votes(found: Estimate, largest: float) -> str:
    """Numbers of raters; those beyond the largest group are not known."""

    def shown(n: float) -> str:
        return f"more than {largest:.1f}" if np.isinf(n) else f"{n:.1f}"

    return f"{shown(found.value)} [{shown(found.low)}, {shown(found.high)}]"
