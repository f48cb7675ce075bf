"""Opens ML Metadata stores for reading only, and reads them in batches.

A SQLite file is never written, created or migrated, and a run may write it meanwhile: the store reads a copy of the
file as it is at one moment, because ML Metadata's own reads fail beside a busy writer. Callers walk the events, many
ids a call: ML Metadata's lineage queries need filter queries, which version 1.21 does not implement.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import tempfile
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as pb

from lineage.errors import StoreError
from on_device.command_line import silent_stderr

DATABASE = "metadata.db"
SCHEMA_VERSION = 10  # of ML Metadata 1.x
BATCH = 500  # ids a call: well below SQLite's limit on the length of a statement, and one message of gRPC
LOCK_SECONDS = 5.0
GRPC_SECONDS = 30.0
GRPC_BYTES = 1 << 28
# PEM files of a TLS connection, by environment variable: the trusted authorities (by default those of gRPC), and the
# client's certificate and key, if the server asks for them.
TLS_FILES = {"custom_ca": "MLMD_CA_FILE", "server_cert": "MLMD_CERTIFICATE_FILE", "client_key": "MLMD_KEY_FILE"}

_FORMS = (
    "the path of a metadata.db, mysql://user@host:port/database, grpc://host:port, grpcs://host:port or "
    "vertex://PROJECT/REGION"
)
_ADVICE = "run the pipeline first, or name a store with --metadata"
# Meanings of the errors of SQLite, MySQL and gRPC, by a part of their text.
_MEANINGS = {
    "no such table": "a SQLite file, but not a store of ML Metadata",
    "not a database": "not a SQLite file, so not a store of ML Metadata",
    "malformed": "the file is damaged; restore it from a backup",
    "locked": f"locked by another program for more than {LOCK_SECONDS:g} s; try again",
    "unable to open": "cannot be opened; check its permissions",
    "readonly": "a write to it was interrupted, and only a write can undo that; run the pipeline again first",
    "disk I/O": "the disk cannot be read",
    "mysql_real_connect": "no MySQL server answers with this address, user and password",
    "to database": "there is no such database, or this user may not read it",
    "CREATE command denied": "not a store of ML Metadata: its tables are missing",
    "Schema migration": f"its schema is not the supported version, {SCHEMA_VERSION}; upgrade a copy with ml-metadata "
    "(enable_upgrade_migration)",
    "failed to connect": "no metadata server answers there",
    "Deadline Exceeded": f"the metadata server did not answer within {GRPC_SECONDS:g} s",
}

Record = TypeVar("Record")


class Store:
    """A store to read. A method makes one call for every `BATCH` ids, and raises `StoreError` if it fails.

    Args:
        connection: of ML Metadata.
        where: the store's name for users.
    """

    def __init__(self, connection: mlmd.MetadataStore, where: str):
        self._connection = connection
        self.where = where

    def artifacts(self, ids: Iterable[int]) -> list[pb.Artifact]:
        """Returns the artifacts with these ids that exist."""
        return self._batches(self._connection.get_artifacts_by_id, ids)

    def executions(self, ids: Iterable[int]) -> list[pb.Execution]:
        """Returns the executions with these ids that exist."""
        return self._batches(self._connection.get_executions_by_id, ids)

    def events_of_artifacts(self, ids: Iterable[int]) -> list[pb.Event]:
        """Returns the events of artifacts: the executions that made or took them."""
        return self._batches(self._connection.get_events_by_artifact_ids, ids)

    def events_of_executions(self, ids: Iterable[int]) -> list[pb.Event]:
        """Returns the events of executions: the artifacts that they took or made."""
        return self._batches(self._connection.get_events_by_execution_ids, ids)

    def artifacts_of_type(self, name: str) -> list[pb.Artifact]:
        """Returns all artifacts of the types whose names end with `name`, after any dots."""
        names = [kind.name for kind in self._call(self._connection.get_artifact_types)]
        matching = [full_name for full_name in names if full_name.rpartition(".")[2] == name]
        return [a for full_name in matching for a in self._call(self._connection.get_artifacts_by_type, full_name)]

    def artifacts_at(self, uri: str) -> list[pb.Artifact]:
        """Returns the artifacts with an address."""
        return self._call(self._connection.get_artifacts_by_uri, uri)

    def contexts_of_types(self, names: Iterable[str]) -> list[pb.Context]:
        """Returns all contexts of some types; none for a type that the store does not have."""
        return [context for name in names for context in self._call(self._connection.get_contexts_by_type, name)]

    def executions_in(self, context: int) -> list[pb.Execution]:
        """Returns the executions of a context."""
        return self._call(self._connection.get_executions_by_context, context)

    def contexts_of_execution(self, execution: int) -> list[pb.Context]:
        """Returns the contexts of an execution."""
        return self._call(self._connection.get_contexts_by_execution, execution)

    def _batches(self, method: Callable[[list[int]], list[Record]], ids: Iterable[int]) -> list[Record]:
        unique = sorted(set(ids))
        starts = range(0, len(unique), BATCH)
        return [record for start in starts for record in self._call(method, unique[start : start + BATCH])]

    def _call(self, method: Callable[..., list[Record]], *arguments: Any) -> list[Record]:
        try:
            return method(*arguments)
        except mlmd.errors.StatusError as error:
            raise StoreError(f"{self.where}: {_explain(error)}") from None


def open_store(where: str) -> Store:
    """Opens a store.

    Args:
        where: a SQLite file, a folder with one in it or in one of its folders (`output`), `mysql://user@host:port/db`
            (with the password after `user:`, or in the environment variable MYSQL_PWD), `grpc://host:port`, with TLS
            `grpcs://host:port` (see `TLS_FILES`), or `vertex://PROJECT/REGION` for Vertex ML Metadata.

    Raises:
        StoreError: it does not exist, or cannot be read.
    """
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # ML Metadata logs the errors that it raises.
    scheme, separator, _ = where.partition("://")
    if not separator:
        path = find_database(Path(where))
        return _open_copy(lambda copy: _copy(path, copy), str(path))
    try:
        address = urllib.parse.urlsplit(where)
        host, port, name = address.hostname, address.port, address.path.strip("/")
    except ValueError as error:
        raise StoreError(f"{where}: {error}; write {_FORMS}") from None
    if scheme == "mysql" and host and address.username and name:
        return _connect(_mysql(address), f"mysql://{address.username}@{host}:{port or 3306}{address.path}")
    if scheme in ("grpc", "grpcs") and host and port and not name:
        config = pb.MetadataStoreClientConfig(host=host, port=port, client_timeout_sec=GRPC_SECONDS)
        config.channel_arguments.max_receive_message_length = GRPC_BYTES
        if scheme == "grpcs":
            _secure(config.ssl_config)
        return _connect(config, where)
    if scheme == "vertex" and host and name:
        from lineage.vertex import copy_store

        return _open_copy(lambda copy: copy_store(address.netloc, name, copy), where)
    raise StoreError(f"{where}: not the address of a store; write {_FORMS}")


def find_database(path: Path) -> Path:
    """Returns a SQLite file: the path itself, `metadata.db` in a folder, or the only one in the folder's folders.

    Raises:
        StoreError: there is none, or there are several.
    """
    try:
        exists = path.exists()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from None
    if not exists:
        raise StoreError(f"{path}: no such file or folder; {_ADVICE}")
    if not path.is_dir():
        return path
    if (path / DATABASE).is_file():
        return path / DATABASE
    databases = sorted(path.glob(f"*/{DATABASE}"))
    if not databases:
        raise StoreError(f"{path}: no {DATABASE} here; {_ADVICE}")
    if len(databases) > 1:
        raise StoreError(f"{path}: several stores; name one with --metadata: {', '.join(map(str, databases))}")
    return databases[0]


def _open_copy(write: Callable[[Path], None], where: str) -> Store:
    """Opens a copy that `write` makes. ML Metadata keeps the deleted file open, and so readable."""
    with tempfile.TemporaryDirectory(prefix="lineage-") as folder:
        copy = Path(folder) / DATABASE
        write(copy)
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(copy)
        config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READONLY
        return _connect(config, where)


def _copy(path: Path, copy: Path) -> None:
    """Copies a SQLite file as it is at one moment.

    Never call this in a process that writes the file: SQLite's locks are the process's, and this would release them.

    Raises:
        StoreError: ML Metadata cannot read it; its own errors would not say why.
    """
    address = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with (
            contextlib.closing(
                sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
            ) as database,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            database.execute("BEGIN")  # Waits for a writer once; the copy would wait for ever.
            versions = database.execute("SELECT schema_version FROM MLMDEnv").fetchall()
            database.backup(target)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {_explain(error)}") from None
    version = max((row[0] for row in versions), default=None)
    if version == SCHEMA_VERSION:
        return
    age, advice = "older", "copy the file, and upgrade the copy with ml-metadata (enable_upgrade_migration)"
    if isinstance(version, int) and version > SCHEMA_VERSION:
        age, advice = "newer", "read it with the ml-metadata that wrote it"
    raise StoreError(f"{path}: its schema, version {version}, is {age} than the supported {SCHEMA_VERSION}; {advice}")


def _explain(error: Exception) -> str:
    """Returns the meaning of an error of SQLite, MySQL or gRPC, in one line."""
    text = " ".join(str(error).split())
    return next((meaning for part, meaning in _MEANINGS.items() if part in text), text[:200] or type(error).__name__)


def _mysql(address: urllib.parse.SplitResult) -> pb.ConnectionConfig:
    config = pb.ConnectionConfig()
    config.mysql.host = address.hostname or ""
    config.mysql.port = address.port or 3306
    config.mysql.user = urllib.parse.unquote(address.username or "")
    config.mysql.password = urllib.parse.unquote(address.password or os.environ.get("MYSQL_PWD", ""))
    config.mysql.database = address.path.strip("/")
    config.mysql.skip_db_creation = True
    return config


def _secure(config: pb.MetadataStoreClientConfig.SSLConfig) -> None:
    """Reads the PEM files of a TLS connection.

    Raises:
        StoreError: a file cannot be read.
    """
    for field, variable in TLS_FILES.items():
        if file := os.environ.get(variable):
            try:
                setattr(config, field, Path(file).read_text(encoding="ascii"))
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not in PEM"
                raise StoreError(f"{variable} {file}: {reason}") from None
    config.SetInParent()


def _connect(config: pb.ConnectionConfig | pb.MetadataStoreClientConfig, where: str) -> Store:
    if isinstance(config, pb.ConnectionConfig):
        config.retry_options.max_num_retries = 2
    try:
        with silent_stderr():
            return Store(mlmd.MetadataStore(config), where)
    except (RuntimeError, mlmd.errors.StatusError) as error:  # Its C++ library raises RuntimeError.
        raise StoreError(f"{where}: {_explain(error)}") from None
