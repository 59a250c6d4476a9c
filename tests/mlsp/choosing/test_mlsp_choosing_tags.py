"""The heuristic of a quota for each tag."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsp.choosing.tags import quota_for, quota_sample, read_tags
from mtl.runtime.files import InputError

TAGS = st.dictionaries(
    st.integers(0, 40).map("img{:02d}".format),
    st.dictionaries(st.sampled_from("abcdefg"), st.floats(0, 1), max_size=4),
    max_size=40,
)


def count(tags, names, tag) -> int:
    return sum(tag in tags[name] for name in names)


@given(TAGS, st.integers(1, 12))
def test_every_tag_has_its_quota_or_all_there_are(tags, quota):
    taken = quota_sample(tags, quota)
    assert taken == sorted(set(taken)) and set(taken) <= set(tags)
    for tag in {tag for one in tags.values() for tag in one}:
        assert count(tags, taken, tag) >= min(quota, count(tags, tags, tag))
    assert all(tags[name] for name in taken)


@given(TAGS, st.integers(1, 45))
def test_the_quota_for_a_number_is_found_by_bisection(tags, number):
    tagged = sum(bool(one) for one in tags.values())
    quota = quota_for(tags, number)
    assert len(quota_sample(tags, quota)) >= min(number, tagged)
    assert len(quota_sample(tags, quota, number)) == min(number, tagged)


def test_rare_tags_come_first_and_common_ones_by_confidence():
    tags = {f"sea{k}": {"sea": k / 10} for k in range(10)}
    tags["boat"] = {"boat": 0.1, "sea": 0.05}
    tags["plain"] = {}
    assert quota_sample(tags, 1) == ["boat"]  # its boat is the only one, and has the sea's quota
    assert quota_sample(tags, 3) == ["boat", "sea8", "sea9"]
    assert quota_sample(tags, 3, 2) == ["boat", "sea9"]
    assert quota_sample(tags, 100) == sorted(set(tags) - {"plain"})
    assert quota_for(tags, 3) == 3
    for quota, limit in ((0, None), (1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            quota_sample(tags, quota, limit)
    with pytest.raises(ValueError, match="at least 1"):
        quota_for(tags, 0)


def test_rare_tags_are_had_more_often_than_in_a_random_sample():
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, 31)
    tags = {
        f"{k:05d}": {f"t{t}": rng.random() for t in np.flatnonzero(rng.random(30) < share)}
        for k in range(3000)
    }
    taken = quota_sample(tags, quota_for(tags, 600), 600)
    random = list(rng.choice(sorted(tags), 600, replace=False))
    had = [[count(tags, some, f"t{t}") for t in range(20, 30)] for some in (taken, random)]
    assert len(taken) == 600 and sum(had[0]) > 1.5 * sum(had[1])


def test_tables_are_read_and_mistakes_named(tmp_path):
    table = tmp_path / "tags.csv"
    table.write_text(
        "image,tags\na.jpg,beach:0.93; outdoor|people:0.5\nb.jpg,\nc.jpg,ratio:4:3:0.2;x:y\n"
    )
    assert read_tags(table) == {
        "a.jpg": {"beach": 0.93, "outdoor": 1.0, "people": 0.5},
        "b.jpg": {},
        "c.jpg": {"ratio:4:3": 0.2, "x:y": 1.0},
    }
    table.write_text("image,tags\na.jpg,x\na.jpg,y\n")
    with pytest.raises(InputError, match=r"line 3: a\.jpg is named more than once"):
        read_tags(table)
    for confidence in ("nan", "0_5", "1e999", "0,5", "Infinity", "1.2.3"):
        table.write_text(f'image,tags\na.jpg,x\nb.jpg,"y:0.5;x:{confidence}"\n')
        with pytest.raises(InputError, match=r"line 3: the confidence .* of x is not a number"):
            read_tags(table)
    table.write_text("image,labels\na.jpg,x\n")
    with pytest.raises(InputError, match="tags is missing"):
        read_tags(table)


def test_nothing_that_is_meant_as_a_confidence_becomes_a_tag(tmp_path):
    table = tmp_path / "tags.csv"
    for part, problem in (
        ("beach:90%", "the confidence '90%' of beach is not a number"),
        ("beach: .9.", "the confidence '.9.' of beach is not a number"),
        ("beach:0.9 (sure)", "is not a number"),
        ("beach:", "the confidence '' of beach is not a number"),
        ("beach:-1", "the confidence '-1' of beach is negative"),
        ("beach:-0.5", "is negative"),
        ("beach=0.9", "write the confidence behind a colon, as in beach:0.9"),
        ("beach = 90 %", "write the confidence behind a colon"),
        ("beach=1", "write the confidence behind a colon"),
    ):
        table.write_text(f'image,tags\na.jpg,x\nb.jpg,"y:0.5;{part}"\n')
        with pytest.raises(InputError, match=r"tags\.csv: line 3: ") as raised:
            read_tags(table)
        assert problem in str(raised.value)
    table.write_text("image,tags\na.jpg,geo:lat=0.5;x:y;x=y;12:30;1990\n")
    assert set(read_tags(table)["a.jpg"]) == {"geo:lat=0.5", "x:y", "x=y", "12", "1990"}


def test_photographs_are_named_as_in_other_tables(tmp_path):
    table = tmp_path / "tags.csv"
    table.write_text("Image Name;Tags\n./a.jpg;x:0.5|y\n")
    assert read_tags(table) == {"a.jpg": {"x": 0.5, "y": 1.0}}
    table.write_text("image,tags\na.jpg,x\n./a.jpg,y\n")
    with pytest.raises(InputError, match=r"line 3: \./a\.jpg is named more than once"):
        read_tags(table)
