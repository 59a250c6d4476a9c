"""One HTML page from Jinja2 templates: its blocks, its sections, and the page itself.

A block is a frozen dataclass with the data to show. It names the template that holds the words and
the markup. The templates escape all data. The page works from a file: its style and its script are
inside it, and nothing is fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import ClassVar, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined

from mtl.runtime.pictures import picture_size

GENERATOR = "deepfl-iqa"
PAGE_TEMPLATE = "report/templates/page.html.jinja"
DIGITS = 3  # of a correlation

# Templates are named by their path in the package, so that other rooms can bring their own.
_ENVIRONMENT = Environment(
    loader=PackageLoader("mlsp", ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["thousands"] = "{:,}".format


class Block(Protocol):
    """Data of a section; its template knows it as `block`."""

    template: ClassVar[str]
    """Path of the template in the package `mlsp`."""


@dataclass(frozen=True)
class Section:
    """A part of the page, with a link in the contents."""

    name: str
    """The address within the page: one word."""
    title: str
    body: Sequence[Block]
    parts: Sequence["Section"] = ()


@dataclass(frozen=True)
class Number:
    """A number in a table; its column is sorted by the unrounded value."""

    value: float | None
    """None or NaN is shown as missing and sorted last."""
    digits: int = DIGITS
    """Digits after the point."""
    quartiles: tuple[float, float] | None = None
    """First and third, shown in brackets."""
    share: float | None = None
    """Strength of the cell's background colour in a heat map, 0..1; None for no colour."""

    @property
    def is_known(self) -> bool:
        """True if there is a finite value."""
        return self.value is not None and isfinite(self.value)


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by each column, in a box of its own that scrolls sideways."""

    template: ClassVar[str] = "report/templates/table.html.jinja"

    titles: Sequence[str]
    rows: Sequence[Sequence[str | int | Number]]
    """A cell for each title; columns of `int` and `Number` are sorted by value."""
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture beside the page."""

    file: str
    alt: str
    width: int
    """Pixels, so that the page keeps its place while pictures load."""
    height: int


@dataclass(frozen=True)
class Figure:
    """A picture with a caption; a click opens the picture in its own size."""

    template: ClassVar[str] = "report/templates/figure.html.jinja"

    picture: Picture
    caption: str = ""


@dataclass(frozen=True)
class Missing:
    """A paragraph on a missing part, and the command that makes it."""

    template: ClassVar[str] = "report/templates/missing.html.jinja"

    problem: str
    command: str = ""
    effect: str = ""
    """End of the sentence that the command begins, such as: writes it."""


def beside(path: Path, alt: str) -> Picture:
    """Return the picture of a file in the page's folder.

    Args:
        path: the file.
        alt: description for readers who cannot see it.
    """
    height, width = picture_size(path)
    return Picture(path.name, alt, width, height)


def page(title: str, note: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the whole page: title, note, contents, sections.

    Args:
        title: heading, and the browser's title.
        note: text above the contents, of which the first phrase is stressed; empty for none.
        sections: in the order of the page.
    """
    template = _ENVIRONMENT.get_template(PAGE_TEMPLATE)
    shown = {"title": title, "note": note, "sections": sections, "generator": GENERATOR}
    return template.render(shown) + "\n"
