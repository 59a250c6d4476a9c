"""Share the terminal among commands: exit codes, one-line errors, names of any bytes."""

import io
import sys

FAILURE = 1
USAGE_ERROR = 2
INTERRUPTED = 130


def accept_any_name() -> None:
    """Show what the terminal cannot print as \\udcfc or \\u201c; files hold it as it is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def one_line(error: Exception) -> str:
    """Return the message of an error without its line breaks."""
    return " ".join(str(error).split())
