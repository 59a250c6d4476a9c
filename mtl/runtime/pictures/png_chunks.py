"""The chunks of a PNG file (PNG specification, section 5): which ones count, and their damage.

Pixels depend on few of them. Pillow refuses a file for faults of the others: long texts, as
programs that generate pictures write them, or a wrong checksum of a comment. So they are left out.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

PNG_START = b"\x89PNG\r\n\x1a\n"

HEADER, PIXELS, END = b"IHDR", b"IDAT", b"IEND"
TRANSPARENCY, EXIF, PROFILE = b"tRNS", b"eXIf", b"iCCP"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
TURNING = (
    b"Raw profile type exif\0",
    b"XML:com.adobe.xmp\0",
)  # texts that may say how it is turned
CONTROL = b"acTL"
ANIMATION = {CONTROL: 8, b"fcTL": 26, b"fdAT": 4}  # and the least bytes of each

DAMAGED_PROFILE = b"damaged"
LARGEST_PROFILE = 1 << 26  # bytes; those of presses have a few million

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples a pixel, by the header's colour type
# First column and row and their steps, of the seven passes of an interlaced picture (section 8.2).
PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
AT_A_TIME = 1 << 18  # bytes inflated, which stay in a processor's cache


class Chunk(NamedTuple):
    """One chunk: its name, and where its contents begin and end."""

    name: bytes
    start: int
    end: int

    def critical(self) -> bool:
        """Tell whether decoders must know it (section 5.4: its name begins upper case)."""
        return not self.name[0] & 0x20

    def intact(self, data: bytes) -> bool:
        """Tell whether its checksum is right."""
        stated = int.from_bytes(data[self.end : self.end + 4], "big")
        return zlib.crc32(memoryview(data)[self.start - 4 : self.end]) == stated


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to the end chunk or the end of the file; the last may reach behind it."""
    position = len(PNG_START)
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        yield Chunk(name, position + 8, position + 8 + length)
        if name == END:
            return
        position += 12 + length


def without_metadata(data: bytes, *, strict: bool = False) -> tuple[bytes, bytes | None]:
    """Return a PNG with the chunks that count, and its colour profile; None where it has none.

    What says how the picture is turned moves in front of the pixels. A profile that cannot be
    inflated is `DAMAGED_PROFILE`.

    Args:
        data: the file.
        strict: leave out texts and animations too.
    """
    header, front, rest, profile = [], [], [], None
    animated = not strict and _is_animated(data)
    for chunk in chunks(data):
        whole = data[chunk.start - 8 : chunk.end + 4]
        turns = chunk.name == EXIF or (
            chunk.name in TEXTS and not strict and data.startswith(TURNING, chunk.start)
        )
        if chunk.name == HEADER:
            header.append(whole)
        elif (
            chunk.critical() or chunk.name == TRANSPARENCY or (chunk.name in ANIMATION and animated)
        ):
            rest.append(whole)
        elif turns and chunk.intact(data):
            front.append(whole)
        elif chunk.name == PROFILE:
            profile = _profile(data, chunk)
    return b"".join([PNG_START, *header, *front, *rest]), profile


def _is_animated(data: bytes) -> bool:
    """Tell whether all chunks of an animation are there and of a length that makes sense."""
    names = []
    for chunk in chunks(data):
        names.append(chunk.name)
        if chunk.name in ANIMATION:
            whole = chunk.end - chunk.start >= ANIMATION[chunk.name] and chunk.intact(data)
            if not whole or (chunk.name == CONTROL and PIXELS in names):
                return False
    return names.count(CONTROL) == 1


def _profile(data: bytes, chunk: Chunk) -> bytes:
    """Return the colour profile of a chunk, `DAMAGED_PROFILE` where it makes no sense."""
    _, _, packed = data[chunk.start : chunk.end].partition(b"\0")
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(packed[1:], LARGEST_PROFILE)
    except zlib.error:
        return DAMAGED_PROFILE
    whole = chunk.intact(data) and packed[:1] == b"\0" and stream.eof
    return profile if whole and profile else DAMAGED_PROFILE


def check_png(data: bytes) -> None:
    """Refuse a PNG file whose chunks are damaged, or whose pixels end early.

    Raises:
        ValueError: says what is wrong.
    """
    stream, found, expected, name = zlib.decompressobj(), 0, 0, b""
    for chunk in chunks(data):
        name = chunk.name
        if len(data) < chunk.end + 4:
            raise ValueError("truncated: the end chunk is missing")
        if chunk.critical() and not chunk.intact(data):
            raise ValueError(f"damaged: the checksum of a chunk ({name!r}) is wrong")
        if name == HEADER:
            expected = _inflated(data[chunk.start : chunk.end])
        if name == PIXELS:
            try:
                found += _length(stream, data[chunk.start : chunk.end])
            except zlib.error as error:
                raise ValueError(f"damaged: {error}") from error
    if name != END:
        raise ValueError("truncated: the end chunk is missing")
    # Some writers leave the checksum behind the last row out.
    if found < expected or (found > expected and not stream.eof):
        raise ValueError(f"damaged: its pixels have {found} bytes, not {expected}")


def _length(stream: "zlib._Decompress", packed: bytes) -> int:
    """Return how many bytes a part of a compressed stream holds."""
    found = 0
    while packed and not stream.eof:
        found += len(stream.decompress(packed, AT_A_TIME))
        packed = stream.unconsumed_tail
    return found


def _inflated(header: bytes) -> int:
    """Return the number of bytes of a picture's rows, each with its filter (section 7.2)."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * CHANNELS.get(colour, 0)
    found = 0
    for left, top, across, down in PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            found += rows * (1 + (columns * bits + 7) // 8)
    return found
