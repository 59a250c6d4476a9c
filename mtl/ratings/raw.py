"""Raw opinions, a row each: who gave which image which score, and what a test question accepts.

    rater,image,score                     1 (bad) ... 5 (excellent), whole numbers
    rater,image,score,test                the accepted answers of a test question: 4|5; else 0
    rater,image,score,test,accepted       test 0 or 1, the accepted answers apart

Columns may be spelled Rater, IMAGE or test_; ./a is the image a.

Whether an image is a test question is the image's, not the rater's: all its rows say the same.

KonIQ-10k, doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), section 4, does not say what became of
an image that one worker rated twice; such rows are refused unless it is said which one counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8

from mtl.ratings.distributions import RATINGS
from mtl.runtime.file_names import plain_path
from mtl.runtime.files import InputError
from mtl.runtime.progress import progress_bar
from mtl.runtime.tables.csv_tables import table_rows

RATER, IMAGE, SCORE, TEST, ACCEPTED = "rater", "image", "score", "test", "accepted"

# Between accepted answers.
OR = "|"

ANSWERS: Mapping[str, int] = {str(k): k for k in range(1, RATINGS + 1)}

# What test may hold where it is a yes or no.
FLAGS = {"", "0", "1"}

Duplicates = Literal["refuse", "first", "last"]


@dataclass(frozen=True)
class RawRatings:
    """Ratings by image and rater, whatever the order of the table's rows."""

    table: Path
    raters: tuple[str, ...]
    """Sorted."""
    images: tuple[str, ...]
    """Sorted."""
    rater: Int[np.ndarray, " r"]
    """Of each rating, a place in `raters`."""
    image: Int[np.ndarray, " r"]
    """Of each rating, a place in `images`."""
    score: UInt8[np.ndarray, " r"]
    """1 (bad) ... 5 (excellent)."""
    accepted: Bool[np.ndarray, "i s"]
    """Whether a test question accepts 1 ... 5; none of them for an image that is no question."""

    @property
    def is_test(self) -> Bool[np.ndarray, " i"]:
        """Which images are test questions."""
        return np.any(self.accepted, axis=1)


def read_raw(
    table: Path, *, duplicates: Duplicates = "refuse", progress: bool = False
) -> RawRatings:
    """Read and check a table of raw ratings.

    Args:
        table: CSV file.
        duplicates: which row counts where a rater rated an image more than once.
        progress: report on standard error.

    Raises:
        InputError: names the line and the remedy: a missing column, an empty name, a score or an
            accepted answer that is not 1..5, an image that a rater rated twice, one that is a test
            question in some rows only, or test questions without accepted answers.
    """
    raters: dict[str, int] = {}
    images: dict[str, int] = {}
    rater, image, score = [], [], []
    lines: list[int] = []
    questions: list[tuple[str, str]] = []  # of each image, as its first row says
    with progress_bar(_lines(table), f"read {table.name}", "rating", show=progress) as bar:
        for row in table_rows(table, (RATER, IMAGE, SCORE), (TEST, ACCEPTED)):
            who, what = row.text(RATER), plain_path(row.text(IMAGE))
            if not who or not what:
                raise row.error(f"names no {IMAGE if who else RATER}; remove or complete the row")
            answer = ANSWERS.get(row.text(SCORE))
            if answer is None:
                raise row.error(
                    f"score {row[SCORE]!r} is not a whole number from 1 to {RATINGS}; scores are 1"
                    f" (bad) ... {RATINGS} (excellent)"
                )
            question = (row.text(TEST), row.text(ACCEPTED))
            k = images.setdefault(what, len(images))
            if k == len(questions):
                questions.append(question)
            elif question != questions[k]:
                raise row.error(
                    f"{what} has test '{OR.join(filter(None, question))}', in an earlier row"
                    f" '{OR.join(filter(None, questions[k]))}'; all rows of an image must say the"
                    " same"
                )
            rater.append(raters.setdefault(who, len(raters)))
            image.append(k)
            score.append(answer)
            lines.append(row.line)
            bar.update()
    accepted = _accepted(table, list(images), questions)
    raters_, rater_ = _sorted(raters, np.array(rater, np.int64))
    images_, image_ = _sorted(images, np.array(image, np.int64))
    all_rows = RawRatings(
        table,
        raters_,
        images_,
        rater_,
        image_,
        np.array(score, np.uint8),
        accepted[np.argsort(np.array(list(images)), kind="stable")],
    )
    return _once(all_rows, lines, duplicates)


def _lines(table: Path) -> int:
    """Rows of a file, but for line breaks within quotes; 0 where it cannot be read."""
    try:
        with table.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) - 1
    except OSError:
        return 0


def _sorted(places: Mapping[str, int], of: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names in order, and the places in that order."""
    names = np.array(list(places))
    order = np.argsort(names, kind="stable")
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return tuple(names[order].tolist()), rank[of]


def _once(all_rows: RawRatings, lines: Sequence[int], duplicates: Duplicates) -> RawRatings:
    """Return the ratings in the order of images and raters, one for each pair.

    Args:
        all_rows: the ratings in the order of the table.
        lines: of the ratings in the table.
        duplicates: as `read_raw` has them.
    """
    rater, image = all_rows.rater, all_rows.image
    key = image * len(all_rows.raters) + rater
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    if same.any() and duplicates == "refuse":
        at = int(np.flatnonzero(same)[0])
        first, second = order[at], order[at + 1]
        raise InputError(
            f"{all_rows.table}: line {lines[second]}: {all_rows.raters[rater[second]]} rates"
            f" {all_rows.images[image[second]]} again, after line {lines[first]}"
            f" ({int(same.sum())} such rows in all); remove them, or say --duplicates first or last"
        )
    if duplicates == "first":
        order = order[np.concatenate([[True], ~same])]
    else:
        order = order[np.concatenate([~same, [True]])]
    return replace(all_rows, rater=rater[order], image=image[order], score=all_rows.score[order])


def _accepted(table: Path, images: list[str], questions: list[tuple[str, str]]) -> np.ndarray:
    """Which answers each image's question accepts."""
    accepted = np.zeros((len(images), RATINGS), bool)
    apart = any(answers for _, answers in questions)  # answers in a column of their own
    if not apart and any(t == "1" for t, _ in questions) and {t for t, _ in questions} <= FLAGS:
        raise InputError(
            f"{table}: test says which images are test questions but not which answers are"
            f" accepted; write those there, such as 4{OR}5, or into a column {ACCEPTED}"
        )
    for k, (test, answers) in enumerate(questions):
        if apart and (test not in FLAGS or (test and (test == "1") != bool(answers))):
            raise InputError(
                f"{table}: {images[k]} has test {test!r} and accepted answers {answers!r}; with a"
                f" column {ACCEPTED}, test is 0 without answers and 1 with them"
            )
        given = answers if apart else test
        for answer in given.split(OR) if given not in ("", "0") else ():
            if answer.strip() not in ANSWERS:
                raise InputError(
                    f"{table}: {images[k]}: {given!r} are no accepted answers; give whole numbers"
                    f" from 1 to {RATINGS}, such as 4{OR}5"
                )
            accepted[k, ANSWERS[answer.strip()] - 1] = True
    return accepted
