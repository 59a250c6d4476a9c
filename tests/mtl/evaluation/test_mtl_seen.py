"""The record of the rated pictures that a model has seen."""

import pytest

from mtl.evaluation.seen import (
    SeenRatings,
    has_record,
    joined,
    read_seen,
    seen_pictures,
    write_seen,
)
from mtl.runtime.files import InputError

ONE = SeenRatings("one.csv", "a" * 64, {"1" * 64: "training", "2" * 64: "validation"})
TWO = SeenRatings("two.csv", "b" * 64, {"3" * 64: "training"})


def test_what_was_written_is_read(tmp_path):
    assert read_seen(tmp_path) == () and not has_record(tmp_path)
    write_seen(tmp_path, [ONE, TWO])
    assert read_seen(tmp_path) == (ONE, TWO)
    assert seen_pictures([ONE, TWO]) == {
        "1" * 64: "one.csv", "2" * 64: "one.csv", "3" * 64: "two.csv"
    }  # fmt: skip
    write_seen(tmp_path, [])  # another model in the same folder
    assert read_seen(tmp_path) == () and has_record(tmp_path)


def test_steps_of_training_are_joined_without_repeats():
    assert joined([ONE], [TWO, ONE], []) == (ONE, TWO)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 2, "ratings": []}', '{"format": 1, "ratings": [{}]}']
)
def test_a_damaged_record_is_not_taken_for_an_empty_one(tmp_path, text):
    (tmp_path / "seen.json").write_text(text)
    with pytest.raises(InputError, match=r"seen\.json: is damaged"):
        read_seen(tmp_path)
