"""A file system for `s3://` and `minio://` URIs in TFX's file layer, implemented with PyArrow.

Importing this module registers it. TFX itself uses TensorFlow, which only supports `gs://`. `minio://` is Kubeflow's
scheme for its own store, which is compatible with S3. The file system is for objects that steps read and write
themselves: data, records, checkpoints and pushed models. TensorFlow and Beam, which read and write the artifacts of a
pipeline, do not use it. Credentials, the region and an endpoint other than Amazon's are configured as for AWS's own
tools, for example with `AWS_ENDPOINT_URL`.
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
    """See the base class. An object becomes visible when its stream is closed, never partially."""

    SUPPORTED_SCHEMES = list(SCHEMES)

    @staticmethod
    def open(name: Any, mode: str = "r") -> IO[Any]:
        """Opens a stream; text is UTF-8."""
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
            raise OSError(f"{dst}: already exists")
        s3_client().copy_file(_path(src), _path(dst))

    @staticmethod
    def exists(path: Any) -> bool:
        """Returns whether there is an object, or a folder that is not empty."""
        return bool(_info(path).type != FileType.NotFound)

    @staticmethod
    def isdir(path: Any) -> bool:
        """Returns whether there are objects below a path."""
        return bool(_info(path).type == FileType.Directory)

    @staticmethod
    def listdir(path: Any) -> list[str]:
        """Returns the names in a folder."""
        try:
            return [info.base_name for info in s3_client().get_file_info(FileSelector(_path(path)))]
        except FileNotFoundError as error:
            raise NotFoundError(str(error)) from error

    @staticmethod
    def makedirs(path: Any) -> None:
        """Creates an empty object that represents a folder; does not create buckets."""
        s3_client().create_dir(_path(path))

    @staticmethod
    def remove(path: Any) -> None:
        """Removes one object."""
        s3_client().delete_file(_path(path))

    @staticmethod
    def rename(src: Any, dst: Any, overwrite: bool = False) -> None:
        """Copies one object, then removes the original; readers see the old content or the new."""
        S3.copy(src, dst, overwrite)
        S3.remove(src)

    @staticmethod
    def rmtree(path: Any) -> None:
        """Removes all objects below a path."""
        s3_client().delete_dir(_path(path))


def _info(path: Any) -> FileInfo:
    return s3_client().get_file_info(_path(path))


def _path(uri: Any) -> str:
    return str(uri).partition("://")[2].rstrip("/")


DEFAULT_FILESYSTEM_REGISTRY.register(S3, priority=0)
