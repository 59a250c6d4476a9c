"""Progress without a terminal: whole lines that a log can hold."""

import time

from mtl.runtime.progress import progress_bar, say


def test_a_log_gets_lines(capsys):
    with progress_bar(40, "generate", "img", show=True, done=10) as bar:
        bar.set_postfix_str("1/4 shards", refresh=False)
        bar.update(15)
        time.sleep(0.01)
        bar.update(15)
        say("a line between")
    lines = capsys.readouterr().err.splitlines()
    assert all(line.strip() and "\r" not in line for line in lines)
    assert "a line between" in lines
    assert lines[0].startswith("generate: 10 of 40 (25%)")
    assert lines[-1].startswith("generate: 40 of 40 (100%)") and lines[-1].endswith("1/4 shards")


def test_silence_is_silent(capsys):
    with progress_bar(2, "generate", "img", show=False) as bar:
        bar.update(2)
        say("nothing", show=False)
    assert capsys.readouterr() == ("", "")
