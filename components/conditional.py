"""Conditional writes of small text objects: a write fails if another writer changed the object since it was read.

Object stores compare a tag that changes with the content: the ETag on S3 (`If-Match`), the generation on Google Cloud
Storage (`if_generation_match`). If an S3-compatible store reports that it has no conditional writes, the write is
unconditional. The tests simulate both stores; no real store was tried.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any

from tfx.dsl.io import fileio

MAX_TRIES = 10


class ConflictError(Exception):
    """Another writer changed the object since it was read."""


class SharedObject:
    """A text object in a store.

    This class compares the text, then writes, for file systems without conditional writes.
    """

    def __init__(self, uri: str):
        self._uri = uri
        self._text: str | None = None

    def read(self) -> str | None:
        """Returns the text and remembers its tag; None if the object does not exist.

        Raises:
            OSError: the store refuses the request or cannot be reached.
        """
        self._text = read_text(self._uri)
        return self._text

    def replace(self, text: str) -> None:
        """Writes the text.

        Raises:
            ConflictError: another writer changed the object since it was last read.
            OSError: the store refuses the request or cannot be reached.
        """
        if read_text(self._uri) != self._text:
            raise ConflictError(self._uri)
        with fileio.open(self._uri, "w") as stream:
            stream.write(text)
        self._text = text


def shared_object(uri: str) -> SharedObject:
    """Returns the object of a URI, without reading it."""
    stores = {"gs": _GoogleObject, "s3": _S3Object, "minio": _S3Object}
    return stores.get(uri.partition("://")[0], SharedObject)(uri)


def update(uri: str, change: Callable[[str | None], str]) -> None:
    """Changes a text object, and tries again if another writer changed it in the meantime.

    Args:
        uri: URI of the object, or a path.
        change: returns the new text. Its argument is the current text; None if the object does not exist.

    Raises:
        OSError: other writers changed the object `MAX_TRIES` times in a row, or the store refuses the request.
    """
    fileio.makedirs(os.path.dirname(uri))
    shared = shared_object(uri)
    for _ in range(MAX_TRIES):
        text = change(shared.read())
        with contextlib.suppress(ConflictError):
            shared.replace(text)
            return
    raise OSError(f"{uri}: written by others {MAX_TRIES} times in a row, or the store's conditional writes do not work")


def read_text(uri: str) -> str | None:
    """Returns the content of a text file on any file system that TFX supports; None if it does not exist."""
    if not fileio.exists(uri):
        return None
    with fileio.open(uri) as stream:
        return str(stream.read())


class _S3Object(SharedObject):
    def __init__(self, uri: str):
        import boto3
        from botocore.config import Config

        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        # Path-style addresses for stores other than Amazon's, as in `data.files.s3_client`. boto3 ignores AWS_REGION.
        style = Config(s3={"addressing_style": "path"}) if endpoint else None
        region = os.environ.get("AWS_REGION") or None
        self._client = boto3.client("s3", endpoint_url=endpoint, region_name=region, config=style)
        self._uri = uri
        bucket, _, key = uri.partition("://")[2].partition("/")
        self._location = {"Bucket": bucket, "Key": key}
        self._tag: str | None = None

    def read(self) -> str | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            response = self._client.get_object(**self._location)
        except (BotoCoreError, ClientError) as error:
            if _code(error) != "NoSuchKey":
                raise _store_error(self._uri, error) from error
            self._tag = None
            return None
        self._tag = response["ETag"]
        return str(response["Body"].read().decode("utf-8", errors="replace"))

    def replace(self, text: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        content = {**self._location, "Body": text.encode("utf-8")}
        condition = {"IfMatch": self._tag} if self._tag else {"IfNoneMatch": "*"}
        try:
            try:
                response = self._client.put_object(**content, **condition)
            except ClientError as error:
                if _status(error) != 501:
                    raise
                logging.getLogger(__name__).warning("%s: the store has no conditional writes", self._uri)
                response = self._client.put_object(**content)
        except (BotoCoreError, ClientError) as error:
            # 409: a write at the same time. 412: another write since the read. NoSuchKey: deleted since the read.
            if _status(error) in (409, 412) or _code(error) == "NoSuchKey":
                raise ConflictError(str(error)) from None
            raise _store_error(self._uri, error) from error
        self._tag = response["ETag"]


class _GoogleObject(SharedObject):
    def __init__(self, uri: str):
        import google.cloud.storage as storage
        from google.auth.exceptions import GoogleAuthError

        self._uri = uri
        bucket, _, key = uri.removeprefix("gs://").partition("/")
        try:
            self._blob = storage.Client().bucket(bucket).blob(key)
        except GoogleAuthError as error:
            raise _store_error(self._uri, error) from error
        self._generation = 0  # no object

    def read(self) -> str | None:
        from google.api_core.exceptions import GoogleAPIError, NotFound

        try:
            content = self._blob.download_as_bytes()
        except NotFound:
            self._generation = 0
            return None
        except GoogleAPIError as error:
            raise _store_error(self._uri, error) from error
        self._generation = int(self._blob.generation)
        return bytes(content).decode("utf-8", errors="replace")

    def replace(self, text: str) -> None:
        from google.api_core.exceptions import GoogleAPIError, PreconditionFailed

        try:
            self._blob.upload_from_string(text, if_generation_match=self._generation)
        except PreconditionFailed as error:
            raise ConflictError(str(error)) from None
        except GoogleAPIError as error:
            raise _store_error(self._uri, error) from error
        self._generation = int(self._blob.generation)


def _status(error: Any) -> int:
    """Returns the HTTP status of an error of boto3; 0 without a response."""
    return int(getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Any) -> str:
    """Returns the code of an error of S3, such as `NoSuchKey`; empty without a response."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def _store_error(uri: str, error: Exception) -> OSError:
    """Returns the error of a store's client as one line with the URI."""
    return OSError(f"{uri}: {' '.join(str(error).split())}")
