"""The README, the pages of docs/ and the help: every Python block runs, every command is one.

A Python block runs by itself, as somebody pastes it, in a folder that holds what `deepfl demo` and
the text around it leave: deepfl-demo/photographs, deepfl-demo/kadis and rated/ratings.csv. What a
comment behind a print says is checked where it begins with a number. Commands are read by the
command's own parser and go no further.
"""

import contextlib
import functools
import importlib
import inspect
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
import tyro
import yaml

from deepfl.program import COMMANDS, main
from distortions import distort

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

PYTHON = "python"
SHELL = ("", "sh", "shell", "bash", "console")  # an indented block has no language
OTHER = ("yaml", "text", "csv", "json", "toml")

# What stands before `deepfl` in a line that starts it in another way.
LAUNCHERS = re.compile(r"^(?:srun [^\"']*?|ray job submit [^\"']*? -- )?(?=deepfl )")


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """Fenced blocks, and those indented by four spaces after an empty line."""
    lines = page.read_text(encoding="utf-8").splitlines()
    place, empty = 0, True
    while place < len(lines):
        line = lines[place]
        if fence := re.fullmatch(r"( *)(```+)(.*)", line):
            end = next(k for k in range(place + 1, len(lines)) if lines[k].strip() == fence[2])
            text = inspect.cleandoc("\n" + "\n".join(lines[place + 1 : end]))
            language = fence[3].strip().partition(" ")[0]
            yield Block(page, place + 1, language, text)
            place = end
        elif empty and line.startswith("    ") and line.strip():
            end = place
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            yield Block(page, place + 1, "", inspect.cleandoc("\n" + "\n".join(lines[place:end])))
            place = end - 1
        empty = not line.strip()
        place += 1


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands_of(text: str) -> Iterator[str]:
    """Lines that start deepfl, continued ones joined, with the block's own variables put in."""
    variables: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        command = line.strip().removeprefix("$ ")
        command = re.sub(r"\$(\w+)", lambda name: variables.get(name[1], name[0]), command)
        if given := re.fullmatch(r"(\w+)=(?:\"(.*)\"|'(.*)'|(\S*))", command):
            variables[given[1]] = given[2] or given[3] or given[4] or ""
        if found := LAUNCHERS.match(command):
            yield command[found.end() :]


def whole_commands() -> list[tuple[str, str]]:
    """Commands that stand for themselves: in blocks, in the table of commands, in the help."""
    found = [(str(b), each) for b in BLOCKS if b.language in SHELL for each in commands_of(b.text)]
    for block in BLOCKS:
        if block.language == "yaml":
            started = re.findall(r"^ *entrypoint: (.*)$", block.text, re.M)
            assert isinstance(yaml.safe_load(block.text), dict), block
            found += [(str(block), command) for command in started]
    for page in PAGES:
        cells = re.findall(r"^\| `(deepfl [^`]+)` \|", page.read_text(encoding="utf-8"), re.M)
        found += [(page.name, cell.replace("…", "")) for cell in cells]
    for name in COMMANDS:
        module = importlib.import_module(f"deepfl.commands.{name.replace('-', '_')}")
        found += [(f"{name} --help", each) for each in commands_of(module.__doc__ or "")]
    return found


def mentions() -> list[tuple[str, str]]:
    """Code in a sentence, such as `deepfl train --remat` or `--remat`, that is no whole command."""
    found = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        found += [(page.name, each) for each in re.findall(r"`((?:deepfl |--)[^`]+)`", text)]
    return found


class Parsed(BaseException):
    """Raised in the place of running a command."""


@pytest.fixture
def parsed(monkeypatch, tmp_path):
    """Let the program read a command line, and stop before it does anything."""
    monkeypatch.chdir(tmp_path)
    command_line = tyro.cli

    def read(*arguments, **settings):
        command_line(*arguments, **settings)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", read)

    def run(command: str) -> str | None:
        """What is wrong with the command line, None if nothing is."""
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                code = main(shlex.split(command)[1:])
        except Parsed:
            return None
        except SystemExit as ended:
            code = ended.code
        return said.getvalue() if code else None

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory, sample, scored) -> Path:
    """What the blocks read, under the names they use."""
    place = tmp_path_factory.mktemp("made")
    (place / "deepfl-demo" / "photographs").mkdir(parents=True)
    (place / "rated").mkdir()
    (place / "deepfl-demo" / "kadis").symlink_to(scored)
    rows = ["image,score,reference"]
    for name, photograph in sample.items():
        small = cv2.resize(photograph, (96, 96), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(place / f"deepfl-demo/photographs/{name}.png"), photograph[..., ::-1])
        for level in (1, 3, 5):
            file = f"{name}_{level}.png"
            version = distort(small, "gaussian_blur", level)
            cv2.imwrite(str(place / "rated" / file), version[..., ::-1])
            rows.append(f"{file},{6 - level},{name}.png")
    (place / "rated" / "ratings.csv").write_text("\n".join(rows) + "\n")
    return place


def test_there_are_blocks_and_commands_and_all_are_of_a_known_kind():
    assert len([b for b in BLOCKS if b.language == PYTHON]) >= 4
    assert len(whole_commands()) > 2 * len(COMMANDS)
    strange = [str(b) for b in BLOCKS if b.language not in (PYTHON, *SHELL, *OTHER)]
    assert strange == []


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == PYTHON], ids=str)
def test_python_blocks_run(block, made, tmp_path, monkeypatch, capsys):
    for entry in made.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
    shown = capsys.readouterr().out
    for number in re.findall(r"print\(.*\) +# (-?\d+(?:\.\d+)?)", block.text):
        assert number in shown, f"{block}: says {number}, prints {shown}"


def test_a_block_that_is_wrong_fails(tmp_path):
    """This module's own check: the example that was published, which took floats 0..255."""
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n```python\nimport numpy as np\nfrom fr_metrics import METRICS\n"
        'image = np.full((1, 64, 64, 3), 128.0)\nprint(METRICS["vsi"].function(image, image))\n'
        "```\n\n    deepfl trian\n    $ deepfl train\n"
    )
    python, shell = blocks_of(page)
    assert (python.line, python.language, shell.line) == (3, PYTHON, 10)
    assert list(commands_of(shell.text)) == ["deepfl trian", "deepfl train"]
    with pytest.raises(ValueError, match=r"0\.\.1"):
        exec(compile(python.text, "page", "exec"), {})


def test_every_whole_command_is_one(parsed):
    wrong = [f"{place}: {each}: {why}" for place, each in whole_commands() if (why := parsed(each))]
    assert wrong == []
    assert parsed("deepfl train --dta kadis --out run")
    assert parsed("deepfl trian --data kadis --out run")


@functools.cache
def options_of(command: str) -> set[str]:
    """Those that the help of a command names."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return {"--help", *re.findall(r"--[a-z][a-z0-9-]*", said.getvalue())}


def test_every_command_and_option_that_is_mentioned_exists():
    everywhere = {option for command in COMMANDS for option in options_of(command)}
    wrong = []
    for place, each in mentions():
        words = shlex.split(each.replace("…", ""))
        command = words[1] if words[0] == "deepfl" else ""
        if command and command not in {*COMMANDS, "--help"}:
            wrong.append(f"{place}: {each}")
            continue
        known = options_of(command) if command in COMMANDS else everywhere
        wrong += [f"{place}: {each}" for w in words if w.startswith("--") and w not in known]
    assert wrong == []


def test_targets_of_make_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    used = [
        m for b in BLOCKS if b.language in SHELL for m in re.findall(r"^make (\w+)", b.text, re.M)
    ]
    assert used and set(used) <= set(targets)


def test_modules_that_are_to_be_run_exist():
    used = {
        module
        for page in PAGES
        for module in re.findall(r"python -m (scripts\.\w+)", page.read_text(encoding="utf-8"))
    }
    assert used
    missing = [m for m in used if not (ROOT / f"{m.replace('.', '/')}.py").is_file()]
    assert missing == []
