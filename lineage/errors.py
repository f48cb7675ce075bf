"""Errors with a message for the user."""


class LineageError(Exception):
    """A question that cannot be answered. The message is one line: what is wrong, where, and what to do."""


class StoreError(LineageError):
    """A store that cannot be read."""


class UnknownError(LineageError):
    """Something that the store does not have."""
