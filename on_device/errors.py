"""The error for files and requests that cannot be used."""


class ArtifactError(Exception):
    """A pushed model, what runs it, or a request cannot be used; the message is one line: what is wrong, and where."""
