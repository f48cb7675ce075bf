"""Errors of steps and their messages."""

from __future__ import annotations

import errno
import os
import re

# Beam reports errors of its workers as text: a traceback that ends with the error and the name of the stage.
_RAISED = re.compile(r"(?:^|\n)(?:[\w.]+\.)?(?:DataError|StepError): (.+?)(?: \[while running|\n|$)")
_NO_ROOM = os.strerror(errno.ENOSPC)


class StepError(Exception):
    """An error that stops a step; the message is one line with the problem, its place and a remedy."""


def describe(error: BaseException) -> str:
    """Returns the message of a step's error as one line."""
    chain: BaseException | None = error
    while chain is not None:
        if _NO_ROOM in str(chain):
            return "the disk is full; make room and run again: it goes on with the step that failed"
        messages = _RAISED.findall(f"{type(chain).__name__}: {chain}")
        if messages:
            return str(messages[-1].strip())
        chain = chain.__cause__ or chain.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"
