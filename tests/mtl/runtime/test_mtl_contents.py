"""Contents of picture files: digests of their bytes."""

import hashlib
import os
from pathlib import Path

import pytest

import distortions
from mtl.runtime import files, pictures
from mtl.runtime.contents import (
    UNREADABLE,
    content_digest,
    content_digests,
    digest_each,
    digest_of,
    program_digest,
)
from mtl.runtime.files import InputError
from mtl.runtime.pictures import encode_png


def test_the_digest_follows_the_bytes_not_the_name_or_time(tmp_path, sample):
    picture = tmp_path / "a.png"
    picture.write_bytes(encode_png(sample["chelsea"][:80, :90]))
    first = content_digest(picture)
    assert first == hashlib.sha256(picture.read_bytes()).hexdigest()
    state = picture.stat()
    changed = bytearray(picture.read_bytes())
    changed[-20] ^= 1
    picture.write_bytes(changed)  # as large as before, and as old
    os.utime(picture, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert content_digest(picture) != first
    changed[-20] ^= 1
    (tmp_path / "b.png").write_bytes(changed)
    assert content_digest(tmp_path / "b.png") == first


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        content_digest(tmp_path / "gone.png")
    with pytest.raises(InputError, match="cannot be read"):
        content_digest(tmp_path)


def test_many_files_in_order(tmp_path, capsys):
    paths = [tmp_path / f"{k}.png" for k in range(30)]
    for k, path in enumerate(paths):
        path.write_bytes(bytes([k]) * k)
    paths[7].unlink()
    found = content_digests(paths, progress=True)
    assert [found[k] == UNREADABLE for k in range(30)] == [k == 7 for k in range(30)]
    assert found[9] == content_digest(paths[9]) and len(set(found)) == 30
    assert digest_each([3, 1, 2], str) == ["3", "1", "2"]
    assert capsys.readouterr().err == ""  # progress is reported of what takes long


def test_values_and_programs_have_digests():
    assert digest_of("a", [1, 2]) == digest_of("a", (1, 2)) != digest_of("a", [2, 1])
    assert digest_of("ab", "c") != digest_of("a", "bc")
    found = {program_digest(*of) for of in ((distortions,), (pictures,), (distortions, pictures))}
    assert len(found) == 3 and program_digest(distortions) in found


def test_a_changed_program_has_another_digest(tmp_path, monkeypatch):
    copy = tmp_path / "files.py"
    copy.write_bytes(Path(files.__file__).read_bytes())
    monkeypatch.setattr(files, "__file__", str(copy))
    before = program_digest(files)
    copy.write_bytes(copy.read_bytes() + b"# more\n")
    assert program_digest(files) != before
