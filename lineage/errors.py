"""The error that this package raises for a person to read."""


class LineageError(Exception):
    """A question cannot be answered; the message is one line that says what is wrong, where, and what to do."""


class StoreError(LineageError):
    """The store cannot be read."""


class UnknownError(LineageError):
    """The store has never seen what is asked for."""
