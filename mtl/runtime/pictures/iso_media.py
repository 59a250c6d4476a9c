"""Find coded pictures and EXIF in AVIF and HEIF files (ISO/IEC 14496-12 and 23008-12)."""

import struct
from collections.abc import Iterator
from contextlib import suppress

CODED = (b"av01", b"hvc1")  # item types; others are metadata and descriptions of grids
EXIF, UNKNOWN = b"Exif", b"skip"  # item types: the second is passed over by every decoder
CONTAINERS_IN_FILE = 0  # construction method: offsets count from the file's beginning


def coded_extents(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each extent of coded pictures; nothing where the boxes make no sense.

    Decoders check the boxes; this is to find the compressed bytes, which they do not.
    """
    try:
        locations = _in_meta(data, b"iloc")
        if locations is None:
            return
        coded = {item for item, name, _ in _items(data) if name in CODED}
        found = [place for item, place in _extents(data, locations[0]) if item in coded]
    except (struct.error, IndexError):
        return
    yield from found


def without_exif(data: bytes) -> bytes:
    """Return a file whose EXIF items have a type that decoders pass over; nothing moves."""
    patched = bytearray(data)
    with suppress(struct.error, IndexError):
        for _, name, at in _items(data):
            if name == EXIF:
                patched[at : at + len(UNKNOWN)] = UNKNOWN
    return bytes(patched)


def _in_meta(data: bytes, kind: bytes) -> tuple[int, int] | None:
    """Return start and end of the contents of a box in the box of metadata."""
    meta = _box(data, 0, len(data), b"meta")
    return meta and _box(data, meta[0] + 4, meta[1], kind)  # behind version and flags


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the contents of the boxes in a range."""
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        stop = end if length == 0 else start + length
        if stop < start + header:
            return
        yield kind, start + header, min(stop, end)
        start = stop


def _box(data: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int] | None:
    return next(((a, b) for kind, a, b in _boxes(data, start, end) if kind == wanted), None)


def _items(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield number, type, and place of the type, of each item."""
    information = _in_meta(data, b"iinf")
    if information is None:
        return
    start, end = information
    first = start + (6 if data[start] == 0 else 8)  # version, flags, number of entries
    for kind, at, _ in _boxes(data, first, end):
        if kind == b"infe" and data[at] >= 2:
            form = ">IH4s" if data[at] == 3 else ">HH4s"
            item, _, name = struct.unpack_from(form, data, at + 4)
            yield item, name, at + 4 + struct.calcsize(form) - len(name)


def _extents(data: bytes, start: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield item number, start and end of what the location box places in the file."""
    version = data[start]
    widths = data[start + 4 : start + 6]
    offset_size, length_size = widths[0] >> 4, widths[0] & 15
    base_size, index_size = widths[1] >> 4, widths[1] & 15 if version else 0
    position = start + 6

    def number(size: int) -> int:
        nonlocal position
        value = int.from_bytes(data[position : position + size], "big")
        if position + size > len(data):
            raise IndexError
        position += size
        return value

    for _ in range(number(4 if version == 2 else 2)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else CONTAINERS_IN_FILE
        number(2)  # reference to another file
        base = number(base_size)
        for _ in range(number(2)):
            number(index_size)
            first = base + number(offset_size)
            length = number(length_size)
            if method == CONTAINERS_IN_FILE:
                yield item, (first, first + length)
