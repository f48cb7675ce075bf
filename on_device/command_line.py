"""What every command line of the project shares: paths as arguments, output on any terminal, errors of one line."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import functools
import io
import os
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130
ERROR_HANDLER = "recommender_plain"  # of streams whose encoding lacks a character
_PLAIN = {"✓": "+", "✗": "x", "µ": "u", "\u00d7": "x", "→": "->", "…": "...", "\u2013": "-", "—": "-", "·": "."}


class Main(Protocol):
    """The main function of a command line."""

    def __call__(self, arguments: list[str] | None = None) -> int:
        """Runs it with arguments, None for those of the process, and returns the exit code."""


def command_line(main: Main) -> Main:
    """Makes the main function of a command line safe to call from any shell.

    Output that the terminal's encoding lacks becomes plain letters. An operating system's error, such as a full disk or
    a missing right, becomes one line and exit code 2, and Ctrl-C exit code 130. A reader of the output that closes it
    early, as `head` does, is no error.

    Args:
        main: takes the arguments, or None for those of the process; returns the exit code.
    """

    @functools.wraps(main)
    def guarded(arguments: list[str] | None = None) -> int:
        _open_standard_streams()
        try:
            code = main(arguments)
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            _discard_output()
            return 0
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED
        except OSError as error:
            print(f"error: {describe(error)}", file=sys.stderr)
            _discard_output()
            return EXIT_USAGE

    return guarded


def describe(error: OSError) -> str:
    """An operating system's error in one line: the file, if the error names one, and the reason."""
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{os.fsdecode(error.filename)}: {reason}" if isinstance(error.filename, (str, bytes)) else reason


def path(text: str) -> Path:
    """A path as an argument: the `type` of an argparse option; see `path_or_url`."""
    return Path(path_or_url(text))


def path_or_url(text: str) -> str:
    """A path or URL as an argument: the `type` of an argparse option. `~` is the home folder, as in a shell.

    Raises:
        argparse.ArgumentTypeError: the text is empty, or holds characters that files and messages cannot hold.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise argparse.ArgumentTypeError(f"{text!r} holds a control character; rename the file or folder")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not {sys.getfilesystemencoding()} text; rename the file or folder, or set PYTHONUTF8=1"
        )
    return os.path.expanduser(text)


def default_cache_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Folder for downloads: of the user, or the current one's for a user without a home folder.

    The XDG specification says that a relative `XDG_CACHE_HOME` is to be ignored.
    """
    base = environment.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "on-device-recommender"
    try:
        return Path.home() / ".cache" / "on-device-recommender"
    except RuntimeError:  # Neither HOME nor an entry among the system's users, as in many containers.
        return Path(".cache") / "on-device-recommender"


def _open_standard_streams() -> None:
    """Open the standard streams that a shell closed, and let none of them fail for a character."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, io.TextIOWrapper(io.FileIO(number, "w", closefd=False), encoding="utf-8"))
        with contextlib.suppress(AttributeError):  # A test's or a notebook's stream, which holds text.
            getattr(sys, name).reconfigure(errors=ERROR_HANDLER)


def _discard_output() -> None:
    """Send to nowhere what is still in the buffer of the standard output: Python would fail on it as it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces what an encoding lacks: bytes of file names by themselves, characters by some that look alike."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if all("\udc80" <= character <= "\udcff" for character in text):
        return text.encode("ascii", "surrogateescape"), error.end
    if "\udc80" <= text[0] <= "\udcff":
        return text[0].encode("ascii", "surrogateescape"), error.start + 1
    letters = _PLAIN.get(text[0]) or unicodedata.normalize("NFKD", text[0]).encode("ascii", "ignore").decode()
    return letters or "?", error.start + 1


codecs.register_error(ERROR_HANDLER, _plain)
