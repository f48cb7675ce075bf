"""The error of a push that cannot be made."""

from components.errors import StepError


class PushError(StepError, ValueError):
    """Nothing was pushed; the message is one line that says why."""
