"""Files and folders that a command will write, checked before it computes anything."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from mtl.runtime.file_names import PICTURE_SUFFIXES
from mtl.runtime.files import InputError

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
"""Endings of the files that are read as tables."""


def check_output(path: Path, inputs: Iterable[Path] = (), *, option: str = "--out") -> None:
    """Refuse a file to write that could not be written, or that would replace an input.

    Args:
        path: the file; a device or a pipe may be anywhere.
        inputs: files that are read; missing ones, and folders, do no harm.
        option: the command's word for the file.

    Raises:
        InputError: names the file and the remedy.
    """
    check_place(path, option=option)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give {option} the name of a file")
    if not path.is_file():
        return
    there = path.stat()
    for file in inputs:
        if _is(file, there):
            raise InputError(
                f"{path}: {option} would replace {file}, which is read; choose another name"
            )


def check_text_output(path: Path, inputs: Iterable[Path] = (), *, option: str = "--out") -> None:
    """Refuse a table or JSON file to write as `check_output` does, or if it is named as a picture.

    Raises:
        InputError: names the file and the remedy.
    """
    if path.suffix.lower() in PICTURE_SUFFIXES:
        raise InputError(
            f"{path}: is a picture's name, but {option} writes text; end the name in .csv or .json"
        )
    check_output(path, inputs, option=option)


def check_output_folder(path: Path, *, option: str = "--out") -> None:
    """Refuse a folder to write into that is a file or could not be made.

    Raises:
        InputError: names the folder and the remedy.
    """
    check_place(path, option=option)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; give a folder for {option}")


def check_place(path: Path, *, option: str = "--out") -> None:
    """Refuse a file or folder to write whose name is too long, or that could not be made there.

    A folder, a device or a pipe that is there may be anywhere.

    Raises:
        InputError: names the path and the remedy.
    """
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(
                f"{path}: the name is too long; give {option} a shorter one"
            ) from error
    if path.exists() and not path.is_file():
        return
    above = next(each for each in path.absolute().parents if os.path.lexists(each))
    if not above.is_dir():
        raise InputError(f"{path}: {above} is no folder; choose another {option}")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{path}: nothing may be written in {above}; choose another {option}")


def _is(file: Path, there: os.stat_result) -> bool:
    try:
        return os.path.samestat(file.stat(), there)
    except OSError:  # it is missing, which whoever reads it will say
        return False
