"""Small objects that several writers replace: a write counts only where nobody else wrote since the reading.

Object stores compare a tag that changes with the content: the ETag of S3 (`If-Match`), the generation of Google Cloud
Storage (`if_generation_match`). A store of S3's kind that says that it lacks conditions is written to without. The
tests play both stores; no real one was tried.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any, Protocol

from tfx.dsl.io import fileio

TRIES = 10


class ConflictError(Exception):
    """Somebody else wrote the object since it was read."""


class SharedObject(Protocol):
    """A text in an object store."""

    def read(self) -> str | None:
        """Returns the text, and remembers its tag; None where there is no object.

        Raises:
            OSError: the store refuses, or cannot be reached.
        """

    def replace(self, text: str) -> None:
        """Writes the text.

        Raises:
            ConflictError: the object is not the one that was read last.
            OSError: the store refuses, or cannot be reached.
        """


def shared_object(uri: str) -> SharedObject:
    """Returns the object of a URI; nothing is read yet."""
    scheme, _, place = uri.partition("://")
    bucket, _, key = place.partition("/")
    if scheme == "gs":
        return _GoogleObject(bucket, key)
    return _S3Object(bucket, key) if scheme in ("s3", "minio") else _PlainObject(uri)


def update(uri: str, change: Callable[[str | None], str]) -> None:
    """Replaces a text by another that is made of it, and tries again where somebody else wrote in between.

    Args:
        uri: of the object, or a path.
        change: returns the new text; is given None where there is no object.

    Raises:
        OSError: others wrote `TRIES` times in a row, or the store refuses.
    """
    fileio.makedirs(os.path.dirname(uri))
    shared = shared_object(uri)
    for _ in range(TRIES):
        text = change(shared.read())
        with contextlib.suppress(ConflictError):
            shared.replace(text)
            return
    raise OSError(f"{uri}: written by others {TRIES} times in a row, or the store's conditional writes do not work")


class _S3Object:
    def __init__(self, bucket: str, key: str):
        import boto3
        from botocore.config import Config

        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        # By path where the store is not Amazon's, as `data.files.s3_client` does. boto3 does not read AWS_REGION.
        style = Config(s3={"addressing_style": "path"}) if endpoint else None
        region = os.environ.get("AWS_REGION") or None
        self._client = boto3.client("s3", endpoint_url=endpoint, region_name=region, config=style)
        self._uri = f"s3://{bucket}/{key}"
        self._place = {"Bucket": bucket, "Key": key}
        self._tag: str | None = None

    def read(self) -> str | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(**self._place)
        except (BotoCoreError, ClientError) as error:
            if _code(error) != "NoSuchKey":
                raise OSError(f"{self._uri}: {' '.join(str(error).split())}") from error
            self._tag = None
            return None
        self._tag = answer["ETag"]
        return str(answer["Body"].read().decode("utf-8"))

    def replace(self, text: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        content = {**self._place, "Body": text.encode("utf-8")}
        condition = {"IfMatch": self._tag} if self._tag else {"IfNoneMatch": "*"}
        try:
            try:
                answer = self._client.put_object(**content, **condition)
            except ClientError as error:
                if _status(error) != 501:
                    raise
                logging.getLogger(__name__).warning("%s: the store has no conditional writes", self._uri)
                answer = self._client.put_object(**content)
        except (BotoCoreError, ClientError) as error:
            # Being written at once, written meanwhile, deleted meanwhile; a bucket that is missing is another matter.
            if _status(error) in (409, 412) or _code(error) == "NoSuchKey":
                raise ConflictError(str(error)) from None
            raise OSError(f"{self._uri}: {' '.join(str(error).split())}") from error
        self._tag = answer["ETag"]


class _GoogleObject:
    def __init__(self, bucket: str, key: str):
        import google.cloud.storage as storage
        from google.auth.exceptions import GoogleAuthError

        self._uri = f"gs://{bucket}/{key}"
        try:
            self._blob = storage.Client().bucket(bucket).blob(key)
        except GoogleAuthError as error:
            raise OSError(f"{self._uri}: {' '.join(str(error).split())}") from error
        self._generation = 0  # no object

    def read(self) -> str | None:
        from google.api_core.exceptions import GoogleAPIError, NotFound

        try:
            content = self._blob.download_as_bytes()
        except NotFound:
            self._generation = 0
            return None
        except GoogleAPIError as error:
            raise OSError(f"{self._uri}: {' '.join(str(error).split())}") from error
        self._generation = int(self._blob.generation)
        return bytes(content).decode("utf-8")

    def replace(self, text: str) -> None:
        from google.api_core.exceptions import GoogleAPIError, PreconditionFailed

        try:
            self._blob.upload_from_string(text, if_generation_match=self._generation)
        except PreconditionFailed as error:
            raise ConflictError(str(error)) from None
        except GoogleAPIError as error:
            raise OSError(f"{self._uri}: {' '.join(str(error).split())}") from error
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
    """Returns the HTTP status of an error of boto3; 0 where there was no answer."""
    return int(getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Any) -> str:
    """Returns the code of an error of S3, such as `NoSuchKey`; empty where there was no answer."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
