"""Small objects that several writers replace: a write counts only where nobody else wrote since the reading.

Object stores compare a tag that changes with the content: the ETag of S3 (`If-Match`, which Amazon S3 has had since
November 2024, and MinIO and SeaweedFS have, too), the generation of Google Cloud Storage (`if_generation_match`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any, Protocol

from tfx.dsl.io import fileio


class ConflictError(Exception):
    """Somebody else wrote the object since it was read."""


class SharedObject(Protocol):
    """A text in an object store."""

    def read(self) -> str | None:
        """Returns the text, and remembers its tag; None where there is no object."""

    def replace(self, text: str) -> None:
        """Writes the text.

        Raises:
            ConflictError: the object is not the one that was read last.
        """


def shared_object(uri: str) -> SharedObject:
    """Returns the object of a URI; nothing is read yet."""
    scheme, _, place = uri.partition("://")
    bucket, _, key = place.partition("/")
    if scheme == "gs":
        return _GoogleObject(bucket, key)
    return _S3Object(bucket, key) if scheme in ("s3", "minio") else _PlainObject(uri)


def update(uri: str, change: Callable[[str | None], str]) -> None:
    """Replaces a text by another that is made of it, again and again until nobody else wrote in between.

    Args:
        uri: of the object, or a path.
        change: returns the new text; is given None where there is no object.
    """
    fileio.makedirs(os.path.dirname(uri))
    shared = shared_object(uri)
    while True:
        text = change(shared.read())
        with contextlib.suppress(ConflictError):
            shared.replace(text)
            return


class _S3Object:
    def __init__(self, bucket: str, key: str):
        import boto3
        from botocore.config import Config

        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        # By path where the store is not Amazon's, as `data.files.s3_client` does.
        style = Config(s3={"addressing_style": "path"}) if endpoint else None
        self._client = boto3.client("s3", endpoint_url=endpoint, config=style)
        self._place = {"Bucket": bucket, "Key": key}
        self._tag: str | None = None

    def read(self) -> str | None:
        from botocore.exceptions import ClientError

        try:
            answer = self._client.get_object(**self._place)
        except ClientError as error:
            if _status(error) != 404:
                raise
            self._tag = None
            return None
        self._tag = answer["ETag"]
        return str(answer["Body"].read().decode("utf-8"))

    def replace(self, text: str) -> None:
        from botocore.exceptions import ClientError

        condition = {"IfMatch": self._tag} if self._tag else {"IfNoneMatch": "*"}
        try:
            answer = self._client.put_object(**self._place, Body=text.encode("utf-8"), **condition)
        except ClientError as error:
            if _status(error) not in (404, 409, 412):  # Deleted meanwhile, being written at once, written meanwhile.
                raise
            raise ConflictError(str(error)) from None
        self._tag = answer["ETag"]


class _GoogleObject:
    def __init__(self, bucket: str, key: str):
        import google.cloud.storage as storage

        self._blob = storage.Client().bucket(bucket).blob(key)
        self._generation = 0  # no object

    def read(self) -> str | None:
        from google.api_core.exceptions import NotFound

        try:
            content = self._blob.download_as_bytes()
        except NotFound:
            self._generation = 0
            return None
        self._generation = int(self._blob.generation)
        return bytes(content).decode("utf-8")

    def replace(self, text: str) -> None:
        from google.api_core.exceptions import PreconditionFailed

        try:
            self._blob.upload_from_string(text, if_generation_match=self._generation)
        except PreconditionFailed as error:
            raise ConflictError(str(error)) from None
        self._generation = int(self._blob.generation)


class _PlainObject:
    """In a file system that knows no conditions: compares the text, then writes."""

    def __init__(self, uri: str):
        self._uri = uri
        self._text: str | None = None

    def read(self) -> str | None:
        self._text = self._now()
        return self._text

    def replace(self, text: str) -> None:
        if self._now() != self._text:
            raise ConflictError(self._uri)
        with fileio.open(self._uri, "w") as stream:
            stream.write(text)
        self._text = text

    def _now(self) -> str | None:
        if not fileio.exists(self._uri):
            return None
        with fileio.open(self._uri) as stream:
            return str(stream.read())


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
