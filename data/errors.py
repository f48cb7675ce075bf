"""The errors of this package."""


class DataError(Exception):
    """Data cannot be read. The message is one line with the problem, its place and a remedy."""


class UnreadableError(DataError):
    """A file is damaged, or cannot be read."""
