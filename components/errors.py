"""The error that a step raises for a person to read."""


class StepError(Exception):
    """A step cannot go on; the message is one line that says what is wrong, where, and what to do."""
