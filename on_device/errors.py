"""The error for files and requests that cannot be used."""


class ArtifactError(Exception):
    """A pushed model or a request cannot be used; the message is one line that says what is wrong and where."""
