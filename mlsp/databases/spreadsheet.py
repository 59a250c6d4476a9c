"""A sheet of an .xlsx workbook (ECMA-376, SpreadsheetML), read with the standard library alone.

Only what a table of text and numbers needs: shared, inline and formula strings, numbers. The file
comes from elsewhere, so sizes are limited and a document type, which XML attacks need and no
spreadsheet has, is refused.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from mtl.files import InputError

Cell = str | float

LARGEST_PART = 64 * 2**20  # bytes, unpacked; CSIQ's whole workbook is below one MiB
LAST_COLUMN = 16384  # of a sheet, ECMA-376

_REFERENCE = re.compile(r"([A-Z]{1,3})[0-9]+")

BROKEN = (
    *(OSError, zipfile.BadZipFile, zlib.error, ElementTree.ParseError, EOFError),
    *(RuntimeError, NotImplementedError, ValueError, IndexError, KeyError, LookupError),
)


def read_sheet(path: Path, sheet: str) -> list[dict[int, Cell]]:
    """The rows of one sheet, each the cells that are not empty by column number from 0.

    Raises:
        InputError: the file is missing or damaged, is no workbook, or lacks the sheet.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the authors' workbook")
    try:
        with zipfile.ZipFile(path) as workbook:
            part = _part_of_sheet(workbook, sheet)
            if part is not None:
                strings = _shared_strings(workbook)
                return [_row(row, strings) for row in _named(_parsed(workbook, part), "row")]
    except BROKEN as error:
        detail = " ".join(str(error).split())[:80]
        raise InputError(
            f"{path}: is damaged or no .xlsx workbook ({detail}); unpack the authors' archive again"
        ) from error
    raise InputError(f"{path}: has no sheet {sheet}; unpack the authors' archive again")


class _NoDocumentType(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: Any, system: Any) -> None:
        """Called by the parser before any entity could be used."""
        raise ValueError("has a document type")


def _parsed(workbook: zipfile.ZipFile, part: str) -> ElementTree.Element:
    if workbook.getinfo(part).file_size > LARGEST_PART:
        raise ValueError(f"{part} is larger than {LARGEST_PART} bytes")
    with workbook.open(part) as file:
        data = file.read(LARGEST_PART + 1)  # the size in the archive's index may be a lie
    if len(data) > LARGEST_PART:
        raise ValueError(f"{part} is larger than {LARGEST_PART} bytes")
    return ElementTree.fromstring(data, ElementTree.XMLParser(target=_NoDocumentType()))


def _named(tree: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """All elements of a name: the transitional and the strict format differ in namespaces only."""
    return (each for each in tree.iter() if _local(each) == name)


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _part_of_sheet(workbook: zipfile.ZipFile, sheet: str) -> str | None:
    """Name of the archive's part that holds a sheet."""
    relation = None
    for each in _named(_parsed(workbook, "xl/workbook.xml"), "sheet"):
        if each.get("name") == sheet:
            relation = next((v for name, v in each.items() if name.endswith("}id")), None)
    if relation is None:
        return None
    for each in _named(_parsed(workbook, "xl/_rels/workbook.xml.rels"), "Relationship"):
        if each.get("Id") == relation:
            target = PurePosixPath("/xl") / each.attrib["Target"]
            return target.as_posix().lstrip("/")
    return None


def _shared_strings(workbook: zipfile.ZipFile) -> list[str]:
    name = "xl/sharedStrings.xml"
    if name not in workbook.namelist():
        return []
    return [_text(each) for each in _named(_parsed(workbook, name), "si")]


def _text(item: ElementTree.Element) -> str:
    """Plain text or the runs of rich text; phonetic hints (rPh) are no part of it."""
    parts = []
    for child in item:
        if _local(child) == "t":
            parts.append(child.text or "")
        elif _local(child) == "r":
            parts += [each.text or "" for each in child if _local(each) == "t"]
    return "".join(parts)


def _row(row: ElementTree.Element, strings: list[str]) -> dict[int, Cell]:
    cells: dict[int, Cell] = {}
    column = -1
    for cell in row:
        if _local(cell) != "c":
            continue
        reference = cell.get("r")
        column = column + 1 if reference is None else _column(reference)
        value = _value(cell, strings)
        if value is not None:
            cells[column] = value
    return cells


def _column(reference: str) -> int:
    """Number from 0 of the column in a reference such as AB12."""
    found = _REFERENCE.fullmatch(reference)
    column = 0
    for letter in found[1] if found else "":
        column = 26 * column + ord(letter) - ord("A") + 1
    if not 0 < column <= LAST_COLUMN:
        raise ValueError(f"{reference!r} names no cell")
    return column - 1


def _value(cell: ElementTree.Element, strings: list[str]) -> Cell | None:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return next((_text(each) for each in cell if _local(each) == "is"), None)
    text = next((each.text for each in cell if _local(each) == "v"), None)
    if text is None:
        return None
    if kind == "s":
        place = int(text)
        if place < 0:
            raise ValueError(f"there is no shared string {place}")
        return strings[place]
    return float(text) if kind == "n" else text
