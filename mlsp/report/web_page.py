"""One HTML page without a server: markup from parts that are escaped unless they are markup.

The page works from a file: its style and its script are inside it, and nothing is fetched. The
script does one thing, sorting tables by a column; without it all is readable.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from math import isfinite

GENERATOR = "deepfl-iqa"
DIGITS = 3  # of a correlation

_WITHOUT_END = ("br", "img", "link", "meta")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


@dataclass(frozen=True)
class Number:
    """A number in a table: its column is sorted by the value, whatever is shown."""

    value: float | None
    """None or NaN is shown as missing and sorted last."""
    digits: int = DIGITS
    quartiles: tuple[float, float] | None = None
    share: float | None = None
    """0..1: how much of the cell's background is coloured, in a heat map."""


@dataclass(frozen=True)
class Picture:
    """A picture beside the page."""

    file: str
    alt: str
    width: int
    """Pixels, so that the page keeps its place while pictures load."""
    height: int


@dataclass(frozen=True)
class Section:
    """A part of the page that the contents lead to."""

    name: str
    """In addresses: a word."""
    title: str
    body: Sequence[Markup]
    parts: Sequence["Section"] = ()


def markup(content: object) -> Markup:
    """The content itself where it is markup, else its text, escaped."""
    return content if isinstance(content, Markup) else Markup(html.escape(str(content)))


def joined(*contents: object) -> Markup:
    """Contents one after the other."""
    return Markup("".join(map(markup, contents)))


def element(tag: str, *contents: object, **attributes: object) -> Markup:
    """An element; `class_` is the attribute class, and None leaves an attribute out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _WITHOUT_END:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{joined(*contents)}</{tag}>")


def paragraph(*contents: object) -> Markup:
    """A paragraph."""
    return element("p", *contents)


def missing(*contents: object) -> Markup:
    """A paragraph that says what is not there, and what makes it."""
    return element("p", *contents, class_="missing")


def bullets(items: Sequence[object]) -> Markup:
    """A list."""
    return element("ul", *(element("li", item) for item in items))


def figure(picture: Picture, caption: object = "") -> Markup:
    """A picture with what it shows; it leads to itself in its own size."""
    shown = element(
        "img", src=picture.file, alt=picture.alt, width=picture.width, height=picture.height
    )
    text = element("figcaption", caption) if caption else ""
    return element("figure", element("a", shown, href=picture.file), text)


def table(
    titles: Sequence[str], rows: Sequence[Sequence[object]], *, caption: object = ""
) -> Markup:
    """A table that can be sorted by each column, in a box of its own that scrolls sideways.

    Args:
        titles: of the columns.
        rows: text, or `Number` and int for what is sorted by value.
        caption: what it shows.
    """
    numeric = [
        bool(rows) and all(isinstance(row[k], Number | int) for row in rows)
        for k in range(len(titles))
    ]
    head = (
        element("th", title, scope="col", class_="number" if is_number else None)
        for title, is_number in zip(titles, numeric, strict=True)
    )
    body = (element("tr", *map(_cell, row)) for row in rows)
    whole = element(
        "table",
        element("caption", caption) if caption else "",
        element("thead", element("tr", *head)),
        element("tbody", *body),
        class_="sortable",
    )
    return element("div", whole, class_="scroll", tabindex="0")


def _cell(content: object) -> Markup:
    if isinstance(content, int):
        return element("td", f"{content:,}", class_="number", data_sort=content)
    if not isinstance(content, Number):
        return element("td", content)
    if content.value is None or not isfinite(content.value):
        return element("td", "–", class_="number", data_sort="")
    shown = f"{content.value:,.{content.digits}f}"
    between = ""
    if content.quartiles is not None:
        low, high = (f"{value:,.{content.digits}f}" for value in content.quartiles)
        between = joined(" ", element("small", f"[{low}, {high}]"))
    return element(
        "td",
        shown,
        between,
        class_="number" if content.share is None else "number heat",
        data_sort=repr(float(content.value)),
        style=None if content.share is None else f"--share: {content.share:.3f}",
    )


def page(title: str, lead: Sequence[Markup], sections: Sequence[Section]) -> str:
    """The whole page: title, what is said first, contents, sections."""
    parts = resources.files("mlsp") / "data"
    style, script = ((parts / name).read_text() for name in ("report.css", "report.js"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=GENERATOR),
        element("title", title),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        element("h1", title),
        *lead,
        element("nav", element("h2", "Contents"), _contents(sections), aria_label="Contents"),
        element("main", *(_section(each, 2) for each in sections)),
        element("script", Markup(script)),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _contents(sections: Sequence[Section]) -> Markup:
    return bullets(
        [
            joined(
                element("a", each.title, href=f"#{each.name}"),
                _contents(each.parts) if each.parts else "",
            )
            for each in sections
        ]
    )


def _section(section: Section, level: int) -> Markup:
    return element(
        "section",
        element(f"h{level}", section.title),
        *section.body,
        *(_section(part, level + 1) for part in section.parts),
        id=section.name,
    )
