"""Damage in JPEG files that libjpeg only warns about, or does not notice.

libjpeg fills what is damaged with grey and goes on, and Pillow does not report its warnings. They
are found by decoding the file a second time with simplejpeg, which reports them: entropy-coded data
that end early, run on or make no sense, restart markers out of order, a missing end marker. Bytes
behind the end marker are not looked at: telephones keep further pictures there.

A progressive or multi-scan file that lost scans but not its end marker is valid for libjpeg. The
scan headers say which bits of which coefficients were sent (ITU-T T.81, annex G): all must be.
"""

import re

import simplejpeg

SMALLEST = 8  # decode at an eighth of the size: entropy decoding remains, transforms do not

# Warnings of libjpeg (jerror.h) that say nothing about the pixels.
HARMLESS = (
    "Unknown Adobe color transform",
    "unknown JFIF revision number",
    "Invalid SOS parameters for sequential JPEG",
    "Application transferred too many scanlines",
    "bad ICC marker",
)
# Warnings of libjpeg that mean lost or invented pixels.
DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG file", "Inconsistent progression sequence")

# A marker: not a stuffed zero, not a fill byte, not a restart marker inside a scan.
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
SOI, EOI, SOS, TEM = 0xD8, 0xD9, 0xDA, 0x01
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA)  # Huffman and arithmetic coding
COEFFICIENTS = 64  # of a block
NOT_SENT = 255  # more bits than a coefficient has


def check_jpeg(data: bytes) -> None:
    """Refuse the bytes of a JPEG file that lost pixels.

    Raises:
        ValueError: says what is wrong.
    """
    reason = _warning(data) or _missing_scans(data)
    if reason is not None:
        raise ValueError(f"damaged: {reason}")


def _warning(data: bytes) -> str | None:
    """Return libjpeg's warning of damage, None where it has none."""
    try:
        *_, space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        wanted = "CMYK" if space in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(
            data, wanted, fastdct=True, fastupsample=True, min_factor=SMALLEST, strict=True
        )
    except ValueError as error:
        text = str(error)
        # What is neither is a kind of JPEG that simplejpeg does not read; Pillow has the last word.
        if any(words in text for words in DAMAGE) and not any(words in text for words in HARMLESS):
            return text
    return None


def _missing_scans(data: bytes) -> str | None:
    """Say that coefficients were never sent in full; None where all were."""
    left: dict[int, list[int]] = {}  # low bits of each coefficient still to come, by component
    progressive = False
    position = len(b"\xff\xd8")
    while (found := MARKER.search(data, position)) is not None:
        marker, position = found.group(1)[0], found.end()
        if marker == EOI:
            break
        if marker in (SOI, TEM):
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        body = data[position + 2 : position + length]
        position += max(length, 2)
        if marker in SEQUENTIAL or marker in PROGRESSIVE:
            progressive = marker in PROGRESSIVE
            left = {body[6 + 3 * k]: [NOT_SENT] * COEFFICIENTS for k in range(body[5])}
        elif marker == SOS and left:
            number = body[0]
            first, last, bits = body[1 + 2 * number : 4 + 2 * number]
            if not progressive:
                first, last, bits = 0, COEFFICIENTS - 1, 0
            for component in body[1 : 1 + 2 * number : 2]:
                for k in range(first, last + 1):
                    left[component][k] = bits & 0x0F
            if not progressive and not any(map(any, left.values())):
                return None
    missing = sum(any(one) for one in left.values())
    if missing:
        return f"scans of {missing} of {len(left)} colour components are missing"
    return None
