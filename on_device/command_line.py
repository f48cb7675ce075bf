"""Shared by all command lines of the project: path arguments, output on any terminal, one-line errors."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import functools
import io
import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130
ERROR_HANDLER = "recommender_plain"  # for streams whose encoding lacks a character
_ASCII = {"✓": "+", "✗": "x", "µ": "u", "\u00d7": "x", "→": "->", "…": "...", "\u2013": "-", "—": "-", "·": "."}


class Main(Protocol):
    """The main function of a command line."""

    def __call__(self, arguments: list[str] | None = None) -> int:
        """Runs with the given arguments, or with those of the process, and returns the exit code."""


def command_line(main: Main) -> Main:
    """Makes the main function of a command line safe to call from any shell.

    Characters that the terminal's encoding lacks are printed as similar ASCII characters. An error of the operating
    system, such as a full disk or a missing permission, is printed in one line and ends with exit code 2. Ctrl-C ends
    with exit code 130. It is not an error if a reader such as `head` closes the output early.

    Args:
        main: Takes the arguments, or None for those of the process, and returns the exit code.
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
            print(f"error: {_describe(error)}", file=sys.stderr)
            _discard_output()
            return EXIT_USAGE

    return guarded


def _describe(error: OSError) -> str:
    """Returns the file, if the error names one, and the reason, in one line."""
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{os.fsdecode(error.filename)}: {reason}" if isinstance(error.filename, (str, bytes)) else reason


def path(text: str) -> Path:
    """Returns a path argument, as the `type` of an argparse option; see `path_or_url`."""
    return Path(path_or_url(text))


def path_or_url(text: str) -> str:
    """Returns a path or URL argument, as the `type` of an argparse option. `~` stands for the home folder.

    Raises:
        argparse.ArgumentTypeError: The text is empty, or has characters that file names or messages cannot have.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise argparse.ArgumentTypeError(f"{text!r} contains a control character; rename the file or folder")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not {sys.getfilesystemencoding()} text; rename the file or folder, or set PYTHONUTF8=1"
        )
    return os.path.expanduser(text)


def default_cache_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns the folder for downloads: the user's cache, or `.cache` here for a user without a home folder.

    A relative `XDG_CACHE_HOME` is ignored, as the XDG specification requires.
    """
    base = environment.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "on-device-recommender"
    try:
        return Path.home() / ".cache" / "on-device-recommender"
    except RuntimeError:  # No HOME and no entry for the user, as in many containers.
        return Path(".cache") / "on-device-recommender"


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Discards everything written to the standard error, including by C++ libraries that bypass `sys.stderr`."""
    sys.stderr.flush()
    standard_error = os.dup(2)
    _redirect_to_null(2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)


def _redirect_to_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    if null != descriptor:  # They are equal if the descriptor was closed.
        os.dup2(null, descriptor)
        os.close(null)


def _open_standard_streams() -> None:
    """Opens the standard streams that the shell closed, and makes them accept any character."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            _redirect_to_null(descriptor)
            setattr(sys, name, io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), encoding="utf-8"))
        with contextlib.suppress(AttributeError):  # Streams of tests and notebooks have no encoding.
            getattr(sys, name).reconfigure(errors=ERROR_HANDLER)


def _discard_output() -> None:
    """Discards the buffer of the standard output, which Python could not write at exit."""
    with contextlib.suppress(OSError, ValueError):
        _redirect_to_null(sys.stdout.fileno())


def _replace_characters(error: UnicodeError) -> tuple[str | bytes, int]:
    """Keeps the bytes of file names, and replaces characters that an encoding lacks with similar ones."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if all("\udc80" <= character <= "\udcff" for character in text):
        return text.encode("ascii", "surrogateescape"), error.end
    if "\udc80" <= text[0] <= "\udcff":
        return text[0].encode("ascii", "surrogateescape"), error.start + 1
    letters = _ASCII.get(text[0]) or unicodedata.normalize("NFKD", text[0]).encode("ascii", "ignore").decode()
    return letters or "?", error.start + 1


codecs.register_error(ERROR_HANDLER, _replace_characters)
