"""A command line from a frozen dataclass: its fields are the options, their docstrings the help."""

import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from deepfl.console import USAGE_ERROR, accept_any_name, one_line
from mtl.runtime.files import InputError
from mtl.runtime.paths.outputs import check_place

Config = TypeVar("Config")


def parse(
    config: type[Config],
    arguments: Sequence[str],
    *,
    program: str,
    description: str,
    positional: Sequence[str] = (),
) -> Config:
    """Read a configuration from the command line; a mistake ends the program with code 2.

    A field `out` is a file or folder to write, whose place is checked before anything is computed.
    A field `network` holds names of networks, in which users may write hyphens for underscores.

    Args:
        config: a frozen dataclass.
        arguments: what follows the program's name.
        program: what the user typed before the arguments.
        description: shown above the options; holds an example.
        positional: fields that are given without a name.

    Raises:
        InputError: nothing can be written at `out`.
    """
    # Orbax and TFDS report through absl what concerns developers alone.
    logging.getLogger("absl").setLevel(logging.ERROR)
    with_positional = dataclasses.make_dataclass(
        config.__name__,
        [
            (f.name, Annotated[f.type, tyro.conf.Positional], f)  # type: ignore[valid-type]
            for f in dataclasses.fields(config)  # type: ignore[arg-type]
            if f.name in positional
        ],
        bases=(config,),
        frozen=True,
    )
    parsed = tyro.cli(
        with_positional,
        args=list(arguments),
        prog=program,
        description=description,
    )
    out = getattr(parsed, "out", None)
    if isinstance(out, Path):
        check_place(out)
    network = getattr(parsed, "network", None)
    if isinstance(network, str):
        return dataclasses.replace(parsed, network=network.replace("-", "_"))
    if isinstance(network, tuple):
        return dataclasses.replace(parsed, network=tuple(n.replace("-", "_") for n in network))
    return parsed


def run_script(main: Callable[[Sequence[str]], int | None], name: str) -> None:
    """Run a script's `main`, which may return an exit code; a user's mistake is one line."""
    accept_any_name()
    try:
        sys.exit(main(sys.argv[1:]) or 0)
    except InputError as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
