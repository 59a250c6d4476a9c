"""A command line from a frozen dataclass: its fields are the options, their docstrings the help."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Annotated, TypeVar

import tyro

Config = TypeVar("Config")


def parse(
    config: type[Config],
    arguments: Sequence[str],
    *,
    command: str,
    description: str,
    positional: Sequence[str] = (),
) -> Config:
    """Read a configuration from the command line; a mistake ends the program with code 2.

    Args:
        config: a frozen dataclass.
        arguments: without the program's and the command's name.
        command: the command's name.
        description: shown above the options; holds an example.
        positional: fields that are given without a name.
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
    return tyro.cli(
        with_positional,
        args=list(arguments),
        prog=f"deepfl {command}",
        description=description,
    )
