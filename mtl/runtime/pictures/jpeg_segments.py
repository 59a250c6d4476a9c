"""The segments of a JPEG file (ITU-T T.81, annex B)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# A marker: not a stuffed zero, not a fill byte, not a restart marker inside a scan.
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
SOI, EOI, SOS, TEM = 0xD8, 0xD9, 0xDA, 0x01
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA)  # Huffman and arithmetic coding
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
HUFFMAN_TABLES = 0xC4
APPLICATION, COMMENT = range(0xE0, 0xF0), 0xFE
JPEG_LS = 0xF7  # frame of ITU-T T.87

WHOLE_BLOCKS = b"\x00\x3f\x00"  # parameters of every scan of a sequential file (table B.3)


class Segment(NamedTuple):
    """One segment: its marker, its contents, and where it begins and ends in the file."""

    marker: int
    body: bytes
    start: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments up to the end marker; of a scan the header alone."""
    position = len(b"\xff\xd8")
    while (found := MARKER.search(data, position)) is not None:
        marker, position = found.group(1)[0], found.end()
        if marker == EOI:
            return
        if marker not in (SOI, TEM):
            end = position + max(int.from_bytes(data[position : position + 2], "big"), 2)
            yield Segment(marker, data[position + 2 : end], found.start(), end)
            position = end


def bare(data: bytes) -> bytes:
    """Return a JPEG file without what decoders warn of though no pixel depends on it.

    That is metadata in front of the pixels, and the parameters of sequential scans, which some
    telephones leave zero.
    """
    parts, position, frame = [], 0, 0
    for segment in segments(data):
        marker = segment.marker
        if marker in FRAMES:
            frame = marker
        elif not frame and (marker in APPLICATION or marker == COMMENT):
            parts.append(data[position : segment.start])
            position = segment.end
        elif marker == SOS and frame in SEQUENTIAL:
            parts += [data[position : segment.end - len(WHOLE_BLOCKS)], WHOLE_BLOCKS]
            position = segment.end
    return b"".join([*parts, data[position:]])


def unread_kind(data: bytes) -> str | None:
    """Name the kind of a JPEG file where it is one that Pillow does not read; None otherwise."""
    for marker, body, *_ in segments(data):
        if marker == JPEG_LS:
            return "JPEG-LS"
        if marker in FRAMES and len(body) >= 5:
            if body[0] != 8:
                return f"a JPEG of {body[0]} bits"
            return None if any(body[1:3]) else "a JPEG that states its height behind its pixels"
    return None
