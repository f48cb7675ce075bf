"""`s3://` for TFX's file layer, by PyArrow: TensorFlow, which TFX would ask, knows only `gs://`.

Importing this module registers it, and `minio://`, as Kubeflow calls the store of its own, which speaks the same. It
serves the steps that read and write objects themselves: data, records, checkpoints and pushed models. What TensorFlow
and Beam read and write, the artifacts of a pipeline, does not pass through here. Credentials, region and an endpoint
other than Amazon's come from where AWS's own tools look, such as `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import io
from typing import IO, Any

from pyarrow.fs import FileInfo, FileSelector, FileType
from tfx.dsl.io.fileio import NotFoundError
from tfx.dsl.io.filesystem import Filesystem
from tfx.dsl.io.filesystem_registry import DEFAULT_FILESYSTEM_REGISTRY

from data.files import s3_client

SCHEMES = ("s3://", "minio://")


class S3(Filesystem):
    """See the base class. An object is seen when its stream was closed: whole or not at all."""

    SUPPORTED_SCHEMES = list(SCHEMES)

    @staticmethod
    def open(name: Any, mode: str = "r") -> IO[Any]:
        """A stream; text is UTF-8."""
        if mode[0] == "w":
            stream = s3_client().open_output_stream(_path(name))
        else:
            try:
                stream = s3_client().open_input_stream(_path(name))
            except FileNotFoundError as error:
                raise NotFoundError(str(error)) from error
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding="utf-8")

    @staticmethod
    def copy(src: Any, dst: Any, overwrite: bool = False) -> None:
        """Copies within the store."""
        if not overwrite and S3.exists(dst):
            raise OSError(f"{dst}: is there already")
        s3_client().copy_file(_path(src), _path(dst))

    @staticmethod
    def exists(path: Any) -> bool:
        """Of a folder: whether there is anything in it."""
        return bool(_info(path).type != FileType.NotFound)

    @staticmethod
    def isdir(path: Any) -> bool:
        """Whether there is anything below a path."""
        return bool(_info(path).type == FileType.Directory)

    @staticmethod
    def listdir(path: Any) -> list[str]:
        """Names."""
        try:
            return [found.base_name for found in s3_client().get_file_info(FileSelector(_path(path)))]
        except FileNotFoundError as error:
            raise NotFoundError(str(error)) from error

    @staticmethod
    def makedirs(path: Any) -> None:
        """An empty object stands for a folder; a bucket is not made."""
        s3_client().create_dir(_path(path))

    @staticmethod
    def remove(path: Any) -> None:
        """Of one object."""
        s3_client().delete_file(_path(path))

    @staticmethod
    def rename(src: Any, dst: Any, overwrite: bool = False) -> None:
        """Copies one object, then removes the first: readers find the old content or the new."""
        S3.copy(src, dst, overwrite)
        S3.remove(src)

    @staticmethod
    def rmtree(path: Any) -> None:
        """Of all objects below a path."""
        s3_client().delete_dir(_path(path))


def _info(path: Any) -> FileInfo:
    return s3_client().get_file_info(_path(path))


def _path(uri: Any) -> str:
    return str(uri).partition("://")[2].rstrip("/")


DEFAULT_FILESYSTEM_REGISTRY.register(S3, priority=0)
