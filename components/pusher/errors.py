"""The error of a failed push."""

from components.errors import StepError


class PushError(StepError, ValueError):
    """An error after which nothing is pushed; the message is one line with the reason."""
