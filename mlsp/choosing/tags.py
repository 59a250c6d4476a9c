"""Choosing photographs by their tags: KonIQ-10k's heuristic, doi:10.1109/TIP.2020.2967829, 8.1.

Every tag is to be had by a quota Q of photographs, the rare tags first:

1. All photographs with a tag that fewer than Q photographs have are taken.
2. For each other tag, in the order of increasing counts, the photographs with the highest
   confidence in it are added until Q of those taken have it.

The paper's second step names only the tags that no photograph of the first step has. One that a
single photograph has would then never be filled, against what section 3.2 says of a quota for each
tag; here all tags are filled. Ties: by the tag's name, then by the photograph's.

A table has the columns `image`, or a usual name of it, and `tags`: tags separated by ; or |, each
with its confidence behind a colon or without one, which counts as 1, such as
`beach:0.93;outdoor;people:0.5`. A colon before a word, as in `geo:lat`, belongs to the tag.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from mtl.runtime.file_names import plain_path
from mtl.runtime.tables.columns import image_column, picture_names
from mtl.runtime.tables.csv_tables import NUMBER, Row, read_table

# What is meant as a number, and is no part of a tag.
_LIKE_A_NUMBER = re.compile(r"([+-]?[.,]?\d.*|[+-]?(nan|inf(inity)?)|)", re.IGNORECASE)

# A confidence behind an equals sign; geo:lat=0.5 is a tag.
_EQUALS = re.compile(r"([^:=]+)=\s*(0?[.,]\d+|[01]([.,]0*)?|\d+([.,]\d+)?\s*%)", re.ASCII)

Tags = Mapping[str, Mapping[str, float]]


def read_tags(table: Path) -> dict[str, dict[str, float]]:
    """Return the confidence by tag, by image; ./a.png is a.png.

    Raises:
        InputError: the table is missing, has another header, names an image twice, or holds a
            confidence that is no number of at least 0.
    """
    rows = read_table(table, ("tags",))
    names = picture_names(table, rows, image_column(table, list(rows[0])))
    return {plain_path(name): _tags_of(row) for name, row in zip(names, rows, strict=True)}


def _tags_of(row: Row) -> dict[str, float]:
    tags: dict[str, float] = {}
    for part in map(str.strip, row["tags"].replace("|", ";").split(";")):
        tag, colon, number = (each.strip() for each in part.rpartition(":"))
        equal = _EQUALS.fullmatch(part)
        if equal is not None:
            raise row.error(
                f"{part!r}: write the confidence behind a colon, as in {equal[1].strip()}:0.9"
            )
        plain = NUMBER.fullmatch(number) and "," not in number
        if plain and math.isfinite(float(number)):
            confidence = float(number) if tag else 1.0
            if confidence < 0:
                raise row.error(
                    f"the confidence {number!r} of {tag} is negative; correct or remove it"
                )
        elif tag and colon and _LIKE_A_NUMBER.fullmatch(number):
            raise row.error(f"the confidence {number!r} of {tag} is not a number; correct it")
        else:
            tag, confidence = "", 1.0  # the colon belongs to the tag
        name = tag or part
        if name:
            tags[name] = max(confidence, tags.get(name, confidence))
    return tags


def quota_sample(tags: Tags, quota: int, limit: int | None = None) -> list[str]:
    """The photographs that fill a quota for each tag, sorted by name.

    Args:
        tags: confidence by tag, by photograph.
        quota: photographs that each tag should have, 1 or more.
        limit: where to stop adding.

    Raises:
        ValueError: the quota or the limit is not positive.
    """
    if quota < 1 or (limit is not None and limit < 1):
        raise ValueError(f"quota {quota} and limit {limit} must be at least 1")
    having: dict[str, list[str]] = {}
    for name in sorted(tags):
        for tag in tags[name]:
            having.setdefault(tag, []).append(name)
    taken: dict[str, None] = {}
    filled = dict.fromkeys(having, 0)
    for tag in sorted(having, key=lambda tag: (len(having[tag]), tag)):
        rare = len(having[tag]) < quota
        wanted = len(having[tag]) if rare else quota - filled[tag]
        by_confidence = sorted(having[tag], key=lambda name: (-tags[name][tag], name))
        for name in by_confidence:
            if wanted <= 0 or (limit is not None and len(taken) == limit):
                break
            if name in taken:
                continue
            taken[name] = None
            wanted -= 1
            for other in tags[name]:
                filled[other] += 1
    return sorted(taken)


def quota_for(tags: Tags, number: int) -> int:
    """The least quota, by bisection, with which `quota_sample` takes `number` photographs.

    Where that takes more photographs than have tags, the quota that takes all of them.

    Raises:
        ValueError: the number is not positive.
    """
    if number < 1:
        raise ValueError(f"{number} must be at least 1")
    tagged = sum(bool(one) for one in tags.values())
    number = min(number, tagged)
    low, high = 1, 1 + len(tags) if number else 1
    while low < high:
        middle = (low + high) // 2
        if len(quota_sample(tags, middle, number)) >= number:
            high = middle
        else:
            low = middle + 1
    return low
