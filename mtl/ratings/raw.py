"""Raw opinions, a row each: who gave which image which score, and what a test question accepts.

    rater,image,score                     1 (bad) ... 5 (excellent), whole numbers
    rater,image,score,test                the accepted answers of a test question: 4|5; else 0
    rater,image,score,test,accepted       test 0 or 1, the accepted answers apart

Whether an image is a test question is the image's, not the rater's: all its rows say the same.

KonIQ-10k, doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), section 4, does not say what became of
an image that one worker rated twice; such rows are refused unless it is said which one counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8

from mtl.files import InputError, table_rows
from mtl.opinion_losses import RATINGS
from mtl.progress import progress_bar

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
    questions: list[tuple[str, str]] = []  # of each image, as its first row says
    with progress_bar(_lines(table), f"read {table.name}", "rating", show=progress) as bar:
        for line, row in enumerate(table_rows(table, (RATER, IMAGE, SCORE)), 2):
            who, what = (row[RATER] or "").strip(), (row[IMAGE] or "").strip()
            if not who or not what or None in row:
                lacking = RATER if not who else IMAGE
                problem = (
                    "has more fields than the header" if None in row else f"names no {lacking}"
                )
                raise InputError(f"{table}: line {line}: {problem}; remove or complete the row")
            answer = ANSWERS.get((row[SCORE] or "").strip())
            if answer is None:
                raise InputError(
                    f"{table}: line {line}: score {row[SCORE]!r} is not a whole number from 1 to"
                    f" {RATINGS}; scores are 1 (bad) ... {RATINGS} (excellent)"
                )
            question = ((row.get(TEST) or "").strip(), (row.get(ACCEPTED) or "").strip())
            k = images.setdefault(what, len(images))
            if k == len(questions):
                questions.append(question)
            elif question != questions[k]:
                raise InputError(
                    f"{table}: line {line}: {what} has test '{OR.join(filter(None, question))}',"
                    f" in an earlier row '{OR.join(filter(None, questions[k]))}'; all rows of an"
                    " image must say the same"
                )
            rater.append(raters.setdefault(who, len(raters)))
            image.append(k)
            score.append(answer)
            bar.update()
    accepted = _accepted(table, list(images), questions)
    raters_, rater_ = _sorted(raters, np.array(rater, np.int64))
    images_, image_ = _sorted(images, np.array(image, np.int64))
    order = _once(table, raters_, images_, rater_, image_, duplicates)
    return RawRatings(
        table,
        raters_,
        images_,
        rater_[order],
        image_[order],
        np.array(score, np.uint8)[order],
        accepted[np.argsort(np.array(list(images)), kind="stable")],
    )


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


def _once(
    table: Path,
    raters: tuple[str, ...],
    images: tuple[str, ...],
    rater: np.ndarray,
    image: np.ndarray,
    duplicates: Duplicates,
) -> np.ndarray:
    """Rows in the order of images and raters, one for each pair."""
    key = image * len(raters) + rater
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    if not same.any():
        return order
    if duplicates == "refuse":
        at = int(np.flatnonzero(same)[0])
        first, second = order[at] + 2, order[at + 1] + 2
        raise InputError(
            f"{table}: line {second}: {raters[rater[second - 2]]} rates"
            f" {images[image[second - 2]]} again, after line {first} ({int(same.sum())} such rows"
            " in all); remove them, or say --duplicates first or last"
        )
    if duplicates == "first":
        return order[np.concatenate([[True], ~same])]
    return order[np.concatenate([~same, [True]])]


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
