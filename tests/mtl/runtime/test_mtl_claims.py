"""A folder is continued by a call with the same identity, and refused to any other."""

import json
from dataclasses import replace

import pytest

from mtl.runtime.claims import Identity, both_values, claim, claimed, differing, made_with
from mtl.runtime.files import InputError

IDENTITY = Identity(file="made.json", kind="a thing", value={"seed": 0, "size": (3, 4)})


def test_a_new_folder_is_claimed_once(tmp_path):
    out = tmp_path / "deep" / "out"
    assert claim(out, IDENTITY) is None
    there = (out / "made.json").read_bytes()
    assert json.loads(there) == {"seed": 0, "size": [3, 4]}
    assert [path.name for path in out.iterdir()] == ["made.json"]
    assert claim(out, IDENTITY) == there  # tuples and lists are the same
    assert claimed(out, IDENTITY) == there


def test_looking_writes_nothing(tmp_path):
    assert claimed(tmp_path / "out", IDENTITY) is None
    assert not (tmp_path / "out").exists()


def test_another_setting_is_named_with_both_values_and_the_remedy(tmp_path):
    claim(tmp_path, IDENTITY)
    before = (tmp_path / "made.json").read_bytes()
    other = replace(IDENTITY, value={"seed": 1, "size": [3, 4]}, remedy="choose other --pictures")
    with pytest.raises(InputError) as error:
        claim(tmp_path, other)
    assert str(error.value) == f"{tmp_path}: was made with seed 0, not 1; choose other --pictures"
    assert (tmp_path / "made.json").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"size": [3, 4]}'])
def test_a_damaged_identity_is_named(tmp_path, content):
    (tmp_path / "made.json").write_bytes(content)
    with pytest.raises(InputError, match=r"made\.json: is damaged or of another version; delete"):
        claim(tmp_path, IDENTITY)


def test_the_users_files_and_folders_are_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(InputError, match=f"{place.name}: exists and is not a thing; choose"):
            claim(place, IDENTITY)
    assert claim(tmp_path, replace(IDENTITY, beside=("mine",))) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.json", "mine"]


def test_a_folder_without_work_takes_another_identity(tmp_path):
    work = tmp_path / "work"
    other = replace(IDENTITY, value={"seed": 1, "size": [3, 4]}, begun=work.exists)
    claim(tmp_path, IDENTITY)
    assert claim(tmp_path, other) is None
    assert json.loads((tmp_path / "made.json").read_bytes())["seed"] == 1
    work.touch()
    with pytest.raises(InputError, match="was made with seed 1, not 0"):
        claim(tmp_path, replace(IDENTITY, begun=work.exists))


def test_the_file_may_hold_more_than_the_identity(tmp_path):
    more = replace(
        IDENTITY,
        text='{"done": true}\n{"seed": 0, "size": [3, 4]}\n',
        read=lambda data: json.loads(data.splitlines()[1]),
    )
    assert claim(tmp_path, more) is None
    assert claim(tmp_path, more) == more.text.encode()


def test_free_settings_and_those_of_an_earlier_version_do_not_count():
    theirs, ours = {"seed": 0, "out": "a", "gone": 1, "size": 3}, {"size": 4, "seed": 1, "out": "b"}
    assert differing(theirs, ours, free=("out",)) == ["size", "seed"]
    assert both_values(theirs, ours, ["size", "seed"]) == "size 3 there, 4 now, seed 0 there, 1 now"
    assert made_with(theirs, theirs) == ""
    assert made_with(theirs, {"size": 4}, "chosen") == "was chosen with size 3, not 4"
    with pytest.raises(KeyError, match="new"):
        differing(theirs, {"new": 1})
