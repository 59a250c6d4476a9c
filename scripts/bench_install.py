"""Size and seconds of an installation: the core, and everything.

Each is installed twice into a fresh virtual environment, which is removed afterwards: with the
newest versions, as `pip install` does it, and with those of constraints.txt, as `make demo` does
it. The distribution is a wheel of this checkout, so that what is timed is the dependencies. Nothing
comes from pip's cache. The size is that of site-packages, without pip; the seconds depend on the
network, and on an otherwise idle machine.

Example:
    python -m scripts.bench_install --out results/install_speed.csv
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse, run_script
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say, stage
from mtl.runtime.tables.csv_tables import table_text
from scripts.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
CORE = "core"  # no extra

TRIED = "import deepfl; deepfl.METRICS, deepfl.predict"  # after an installation


@dataclass(frozen=True)
class BenchConfig:
    """What to measure."""

    out: Path = Path("results/install_speed.csv")
    """CSV file to write."""
    extras: tuple[str, ...] = (CORE, "all")
    """Extras to install, one environment each; core stands for none."""
    python: Path = Path(sys.executable)
    """Python whose `venv` and `pip` install."""
    place: Path = Path(tempfile.gettempdir())
    """Folder for the environments: about 1.7 GiB, one at a time."""


def ran(*command: str | Path) -> str:
    """Return what a command wrote to standard output.

    Raises:
        InputError: it failed; ends with the last line of what it said.
    """
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise InputError(f"{Path(command[0]).name} {command[1]} ...: {said[-1]}")
    return done.stdout


def link_checkout(folder: Path) -> None:
    """Fill a folder with links to the checkout, so that building writes nothing into it.

    A folder `build` of an earlier build would bring its files into the wheel.
    """
    for entry in ROOT.iterdir():
        if entry.name != "build" and entry.suffix != ".egg-info" and entry.name[0] != ".":
            (folder / entry.name).symlink_to(entry)


def named(constraints: Path | None) -> str:
    """Return where the versions come from, as the table says it."""
    return "newest" if constraints is None else constraints.name


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder, each file once, links not followed."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def installed(
    python: Path, wheel: Path, extra: str, constraints: Path | None, place: Path
) -> dict[str, str | int | float]:
    """Install a wheel into a fresh environment; a row of the table.

    Args:
        python: makes the environment.
        wheel: of this package.
        extra: to install; `core` for none.
        constraints: versions to keep to; the newest where None.
        place: folder in which the environment is made, and removed.

    Raises:
        InputError: pip failed, or the package cannot be imported.
    """
    environment = Path(tempfile.mkdtemp(prefix="deepfl-install-", dir=place))
    try:
        ran(python, "-m", "venv", "--without-pip", environment)
        inside = environment / "bin" / "python"
        pip = (python, "-m", "pip", "--python", inside, "--disable-pip-version-check")
        (site,) = environment.glob("lib/python*/site-packages")
        requirement = str(wheel) if extra == CORE else f"{wheel}[{extra}]"
        kept = () if constraints is None else ("-c", constraints)
        began = time.perf_counter()
        ran(*pip, "install", "-q", "--no-cache-dir", *kept, requirement)
        seconds = time.perf_counter() - began
        size = size_of(site)
        ran(inside, "-c", TRIED)
        versions = dict(line.split("==") for line in ran(*pip, "freeze").split() if "==" in line)
        return {
            "extra": extra,
            "versions_from": named(constraints),
            "mib": round(size / 2**20),
            "seconds": round(seconds),
            "distributions": len(versions) + 1,  # and this package itself
            "jax": versions.get("jax", ""),
            "pip": ran(*pip, "--version").split()[1],
        }
    finally:
        shutil.rmtree(environment)


def python_version(python: Path) -> str:
    """Return the version of an interpreter."""
    return ran(python, "-c", "import platform; print(platform.python_version())").strip()


def main(arguments: Sequence[str]) -> None:
    """Run the script."""
    config = parse(
        BenchConfig,
        arguments,
        program="python -m scripts.bench_install",
        description=__doc__ or "",
    )
    wrong = [extra for extra in config.extras if not re.fullmatch(r"[a-z]+", extra)]
    if wrong or not config.extras:
        raise InputError(f"--extras {' '.join(config.extras)}: give names of extras, or {CORE}")
    origin = provenance(())
    origin["versions"] = f"Python {python_version(config.python)}"
    rows = []
    with tempfile.TemporaryDirectory(dir=config.place) as folder:
        tree, made = Path(folder, "tree"), Path(folder, "made")
        tree.mkdir()
        link_checkout(tree)
        with stage("make the wheel"):
            ran(config.python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", made, tree)
        (wheel,) = made.glob("*.whl")
        for extra in config.extras:
            for constraints in (None, CONSTRAINTS):
                with stage(f"install {extra}, {named(constraints)} versions"):
                    row = installed(config.python, wheel, extra, constraints, config.place)
                rows.append({**row, **origin})
                say(", ".join(f"{name} {value}" for name, value in row.items()))
                write_atomically(config.out, table_text(rows))


if __name__ == "__main__":
    run_script(main, "bench_install")
