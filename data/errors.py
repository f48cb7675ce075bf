"""The error of this package."""


class DataError(Exception):
    """Data cannot be read. The message is one line: what is wrong, where, and what to do."""
