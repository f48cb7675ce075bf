"""The error for data that cannot be read."""


class DataError(Exception):
    """Data cannot be read; the message is one line that says what is wrong, where, and what to do."""
