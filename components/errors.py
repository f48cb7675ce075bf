"""Errors of steps, and how they read."""

from __future__ import annotations

import errno
import os
import re

# Beam hands on errors of its workers as text: a traceback with the error on the last line, and where it ran.
_RAISED = re.compile(
    r"(?:^|\n)(?:[\w.]+\.)?(?:DataError|StepError|TrainerError|PushError): (.+?)(?: \[while running|\n|$)"
)
_NO_ROOM = os.strerror(errno.ENOSPC)


class StepError(Exception):
    """A step cannot go on; the message is one line that says what is wrong, where, and what to do."""


def describe(error: BaseException) -> str:
    """Returns what an error of a step says, one line."""
    chain: BaseException | None = error
    while chain is not None:
        if _NO_ROOM in str(chain):
            return "the disk is full; make room and run again: it goes on with the step that failed"
        found = _RAISED.findall("\n".join([f"{type(chain).__name__}: {chain}"]))
        if found:
            return found[-1].strip()
        chain = chain.__cause__ or chain.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"
