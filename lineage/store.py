"""Opens an ML Metadata store for reading alone, and reads it in batches.

A SQLite file is never written, created or migrated, and may be read while a run writes it: what is read is a copy of it
as it was at one moment. ML Metadata's own reads give up beside a busy writer. It answers neither filter queries nor
lineage queries: what is wanted is found by walking events, many ids a call.
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
# Files in PEM of a connection with TLS, by environment variable: the authorities that are trusted, by default those of
# gRPC, and the client's own certificate and key, where the server asks for them.
TLS_FILES = {"custom_ca": "MLMD_CA_FILE", "server_cert": "MLMD_CERTIFICATE_FILE", "client_key": "MLMD_KEY_FILE"}

Answer = TypeVar("Answer")


class Store:
    """Reads a store. Every method is one call for every `BATCH` ids, and raises `StoreError` where it fails.

    Args:
        connection: of ML Metadata.
        where: what a person calls the store.
    """

    def __init__(self, connection: mlmd.MetadataStore, where: str):
        self._connection = connection
        self.where = where

    def artifacts(self, ids: Iterable[int]) -> list[pb.Artifact]:
        """Those artifacts of `ids` that exist."""
        return self._batches(self._connection.get_artifacts_by_id, ids)

    def executions(self, ids: Iterable[int]) -> list[pb.Execution]:
        """Those executions of `ids` that exist."""
        return self._batches(self._connection.get_executions_by_id, ids)

    def events_of_artifacts(self, ids: Iterable[int]) -> list[pb.Event]:
        """Who made and who took the artifacts."""
        return self._batches(self._connection.get_events_by_artifact_ids, ids)

    def events_of_executions(self, ids: Iterable[int]) -> list[pb.Event]:
        """What the executions took and made."""
        return self._batches(self._connection.get_events_by_execution_ids, ids)

    def artifact_types(self) -> list[str]:
        """Names of the types of artifacts."""
        return [kind.name for kind in self._ask(self._connection.get_artifact_types)]

    def artifacts_of_type(self, name: str) -> list[pb.Artifact]:
        """All artifacts of a type."""
        return self._ask(lambda: self._connection.get_artifacts_by_type(name))

    def artifacts_at(self, uri: str) -> list[pb.Artifact]:
        """Artifacts by their address."""
        return self._ask(lambda: self._connection.get_artifacts_by_uri(uri))

    def contexts_of_type(self, name: str) -> list[pb.Context]:
        """All contexts of a type; none where there is no such type."""
        return self._ask(lambda: self._connection.get_contexts_by_type(name))

    def executions_in(self, context: int) -> list[pb.Execution]:
        """The executions of a context."""
        return self._ask(lambda: self._connection.get_executions_by_context(context))

    def contexts_of_execution(self, execution: int) -> list[pb.Context]:
        """The contexts of an execution."""
        return self._ask(lambda: self._connection.get_contexts_by_execution(execution))

    def _batches(self, call: Callable[[list[int]], list[Any]], ids: Iterable[int]) -> list[Any]:
        wanted = sorted(set(ids))
        found: list[Any] = []
        for start in range(0, len(wanted), BATCH):
            part = wanted[start : start + BATCH]
            found += self._ask(lambda part=part: call(part))  # type: ignore[misc]
        return found

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except mlmd.errors.StatusError as error:
            raise StoreError(f"{self.where}: {_explain(error)}") from None


def open_store(where: str) -> Store:
    """Open a store.

    Args:
        where: a SQLite file, a folder that holds one or whose folders do (`output`), `mysql://user@host:port/db`
            (a password after `user:`, or in the environment's MYSQL_PWD), or `grpc://host:port`, with TLS
            `grpcs://host:port` (see `TLS_FILES`), or `vertex://PROJECT/REGION` for Vertex ML Metadata.

    Raises:
        StoreError: it is not there, or cannot be read.
    """
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # Errors are raised; ML Metadata logs them as well.
    scheme, separator, _ = where.partition("://")
    if not separator:
        path = find_database(Path(where))
        with tempfile.TemporaryDirectory(prefix="lineage-") as folder:
            copy = Path(folder) / DATABASE
            _copy(path, copy)
            return _connect(_sqlite(copy), str(path))  # It stays open, and so there, until nobody reads it any more.
    try:
        address = urllib.parse.urlsplit(where)
        host, port = address.hostname, address.port
    except ValueError as error:
        raise StoreError(f"{where}: {error}; write {_FORMS}") from None
    if scheme == "mysql" and host and address.username and address.path.strip("/"):
        return _connect(_mysql(address), f"mysql://{address.username}@{host}:{port or 3306}{address.path}")
    if scheme in ("grpc", "grpcs") and host and port and not address.path.strip("/"):
        config = pb.MetadataStoreClientConfig(host=host, port=port, client_timeout_sec=GRPC_SECONDS)
        config.channel_arguments.max_receive_message_length = GRPC_BYTES
        if scheme == "grpcs":
            _secure(config.ssl_config)
        return _connect(config, where)
    if scheme == "vertex" and host and address.path.strip("/"):
        from lineage.vertex import copy_store

        with tempfile.TemporaryDirectory(prefix="lineage-") as folder:
            copy_store(address.netloc, address.path.strip("/"), Path(folder) / DATABASE)
            return _connect(_sqlite(Path(folder) / DATABASE), where)
    raise StoreError(f"{where}: not the address of a store; write {_FORMS}")


_FORMS = (
    "the path of a metadata.db, mysql://user@host:port/database, grpc://host:port, grpcs://host:port or "
    "vertex://PROJECT/REGION"
)


def _secure(config: pb.MetadataStoreClientConfig.SSLConfig) -> None:
    """Read the certificates of a connection with TLS.

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


def find_database(path: Path) -> Path:
    """The SQLite file that a path means: itself, `metadata.db` in a folder, or the only one in the folder's folders.

    Raises:
        StoreError: there is none, or there are several.
    """
    try:
        is_there = path.exists()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from None
    if not is_there:
        raise StoreError(f"{path}: no such file or folder; run the pipeline first, or name a store with --metadata")
    if not path.is_dir():
        return path
    if (path / DATABASE).is_file():
        return path / DATABASE
    found = sorted(path.glob(f"*/{DATABASE}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise StoreError(f"{path}: no {DATABASE} here; run the pipeline first, or name a store with --metadata")
    raise StoreError(f"{path}: several stores; name one with --metadata: {', '.join(map(str, found))}")


def _copy(path: Path, copy: Path) -> None:
    """Copy a SQLite file as it is at one moment.

    Not within a process that writes the file: SQLite's locks are the process's, and this would let go of them.

    Raises:
        StoreError: ML Metadata would not read it, in words that its own errors lack.
    """
    address = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with (
            contextlib.closing(
                sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
            ) as database,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            database.execute("BEGIN")  # Waits for a writer, once; the copy would wait for ever.
            versions = database.execute("SELECT schema_version FROM MLMDEnv").fetchall()
            database.backup(target)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {_explain(error)}") from None
    version = max((row[0] for row in versions), default=None)
    if version != SCHEMA_VERSION:
        age, advice = (
            ("newer", "read it with the ml-metadata that wrote it")
            if isinstance(version, int) and version > SCHEMA_VERSION
            else ("older", "copy the file, and upgrade the copy with ml-metadata (enable_upgrade_migration)")
        )
        raise StoreError(
            f"{path}: its schema, version {version}, is {age} than {SCHEMA_VERSION}, which is read here; {advice}"
        )


def _explain(error: Exception) -> str:
    """What an error of SQLite, MySQL or gRPC means, one line."""
    text = " ".join(str(error).split())
    for sign, meaning in {
        "no such table": "a SQLite file, but not a store of ML Metadata",
        "not a database": "not a SQLite file, so not a store of ML Metadata",
        "malformed": "the file is damaged; take it from a backup",
        "locked": f"locked by another program for more than {LOCK_SECONDS:g} s; try again",
        "unable to open": "cannot be opened; check its permissions",
        "readonly": "a write to it was cut short, and cannot be undone without writing; run the pipeline again first",
        "disk I/O": "the disk cannot be read",
        "mysql_real_connect": "no MySQL server answers with this address, user and password",
        "to database": "there is no such database, or this user may not read it",
        "CREATE command denied": "not a store of ML Metadata: its tables are missing",
        "Schema migration": f"its schema is not of version {SCHEMA_VERSION}, which is read here; a copy can be "
        "upgraded with ml-metadata (enable_upgrade_migration)",
        "failed to connect": "no metadata server answers there",
        "Deadline Exceeded": f"the metadata server did not answer within {GRPC_SECONDS:g} s",
    }.items():
        if sign in text:
            return meaning
    return text[:200] or type(error).__name__


def _sqlite(path: Path) -> pb.ConnectionConfig:
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READONLY
    config.retry_options.max_num_retries = 2
    return config


def _mysql(address: urllib.parse.SplitResult) -> pb.ConnectionConfig:
    config = pb.ConnectionConfig()
    config.mysql.host = address.hostname or ""
    config.mysql.port = address.port or 3306
    config.mysql.user = urllib.parse.unquote(address.username or "")
    config.mysql.password = urllib.parse.unquote(address.password or os.environ.get("MYSQL_PWD", ""))
    config.mysql.database = address.path.strip("/")
    config.mysql.skip_db_creation = True
    config.retry_options.max_num_retries = 2
    return config


def _connect(config: pb.ConnectionConfig | pb.MetadataStoreClientConfig, where: str) -> Store:
    try:
        with silent_stderr():
            return Store(mlmd.MetadataStore(config), where)
    except (RuntimeError, mlmd.errors.StatusError) as error:  # RuntimeError is what its C++ library raises.
        raise StoreError(f"{where}: {_explain(error)}") from None
