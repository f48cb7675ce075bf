"""The error for files and requests that cannot be used."""


class ArtifactError(Exception):
    """A pushed model, its runtime or a request cannot be used. The message is one line: what is wrong, and where."""


def shown(value: object) -> str:
    """Returns the beginning of a value's text in one line."""
    return " ".join(repr(value).split())[:80]


def reason(error: Exception) -> str:
    """Returns the message of an error in one line; for a network error, the message of its cause."""
    return " ".join(str(getattr(error, "reason", None) or error).split())
