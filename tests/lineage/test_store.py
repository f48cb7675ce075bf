"""Tests opening stores of every kind: nothing is written, and an error is one line."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import sqlite3
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ml_metadata.proto import metadata_store_service_pb2 as service
from ml_metadata.proto import metadata_store_service_pb2_grpc as service_grpc

from lineage import store as store_module
from lineage.errors import StoreError
from lineage.proof import prove
from lineage.runs import list_runs
from lineage.store import open_store

ROOT = Path(__file__).parents[2]
HOLD_LOCK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""
# Records runs until a line comes in.
KEEP_WRITING = """
import importlib.util, pathlib, select, sys
spec = importlib.util.spec_from_file_location("recorder", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["recorder"] = module
spec.loader.exec_module(module)
recorder = module.Recorder(pathlib.Path(sys.argv[2]))
recorder.count = 1000
print("writing", flush=True)
# With pauses: each read takes longer than the one before, so that a reader could fall behind a busy writer.
while not select.select([sys.stdin], [], [], 0.1)[0]:
    recorder.run()
print(recorder.count - 1000, flush=True)
"""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lineage(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lineage", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )


def test_reading_changes_neither_file_nor_folder(recorder):
    recorder.run()
    recorder.store = None  # Closes it.
    before = (digest(recorder.path), recorder.path.stat().st_mtime_ns, sorted(os.listdir(recorder.path.parent)))
    recorder.path.chmod(0o444)
    assert len(list_runs(open_store(str(recorder.path)))) == 1
    assert before == (
        digest(recorder.path),
        recorder.path.stat().st_mtime_ns,
        sorted(os.listdir(recorder.path.parent)),
    )


def test_library_has_the_supported_schema_version(recorder):
    with sqlite3.connect(recorder.path) as database:
        assert database.execute("SELECT schema_version FROM MLMDEnv").fetchall() == [(store_module.SCHEMA_VERSION,)]


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (6, "is older than the supported 10"),
        (9, "is older than the supported 10"),
        (11, "is newer than the supported 10"),
    ],
)
def test_other_schema_versions_are_errors_and_never_migrated(recorder, version, message):
    recorder.store = None
    with sqlite3.connect(recorder.path) as database:
        database.execute("UPDATE MLMDEnv SET schema_version = ?", [version])
    database.close()
    before = digest(recorder.path)
    with pytest.raises(StoreError, match=f"version {version}, {message}"):
        open_store(str(recorder.path))
    assert digest(recorder.path) == before


def test_missing_store_is_not_created(tmp_path):
    for where in ("metadata.db", "folder/metadata.db", "folder"):
        with pytest.raises(StoreError, match="no such file or folder; run the pipeline first"):
            open_store(str(tmp_path / where))
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_stores_are_errors(tmp_path):
    (tmp_path / "text.db").write_text("this is no database\n" * 100, encoding="utf-8")
    (tmp_path / "empty.db").write_bytes(b"")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE T (a)").connection.close()
    for name, message in (
        ("text.db", "not a SQLite file"),
        ("empty.db", "a SQLite file, but not a store of ML Metadata"),
        ("other.db", "a SQLite file, but not a store of ML Metadata"),
    ):
        with pytest.raises(StoreError, match=message):
            open_store(str(tmp_path / name))
    assert (tmp_path / "empty.db").stat().st_size == 0


def test_a_damaged_store_is_an_error(recorder):
    recorder.run()
    recorder.store = None
    content = bytearray(recorder.path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    recorder.path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        list_runs(open_store(str(recorder.path)))


def test_a_store_that_stays_locked_is_an_error(recorder, monkeypatch):
    recorder.run()
    monkeypatch.setattr(store_module, "LOCK_SECONDS", 0.2)
    command = [sys.executable, "-c", HOLD_LOCK, str(recorder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=r"locked by another program for more than \d+ s; try again"):
            open_store(str(recorder.path))
        holder.communicate("")
    assert len(list_runs(open_store(str(recorder.path)))) == 1


def test_reads_are_consistent_while_a_run_writes(recorder):
    recorder.run()
    command = [sys.executable, "-c", KEEP_WRITING, str(Path(__file__).with_name("conftest.py")), str(recorder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout and writer.stdout.readline() == "writing\n"
        counts = []
        while len(counts) < 10 or (counts[-1] == counts[0] and len(counts) < 1000):
            runs = list_runs(open_store(str(recorder.path)))
            assert all(run.state == "complete" and run.push for run in runs)  # No run is half written.
            counts.append(len(runs))
        written = int(writer.communicate("\n")[0])
    assert counts == sorted(counts) and counts[-1] > counts[0]
    assert len(list_runs(open_store(str(recorder.path)))) == written + 1


def test_store_is_found_in_a_folder(tmp_path, make_recorder):
    with pytest.raises(StoreError, match=r"no metadata\.db here"):
        open_store(str(tmp_path))
    (tmp_path / "films").mkdir()
    make_recorder(tmp_path / "films" / "metadata.db")
    for where in (tmp_path, tmp_path / "films", tmp_path / "films" / "metadata.db"):
        assert open_store(str(where)).where == str(tmp_path / "films" / "metadata.db")
    (tmp_path / "shop").mkdir()
    make_recorder(tmp_path / "shop" / "metadata.db")
    with pytest.raises(StoreError, match=r"several stores; name one with --metadata: .*films.*shop"):
        open_store(str(tmp_path))


@pytest.mark.parametrize(
    "where", ["mysql://host/db", "mysql://user@host", "grpc://host", "grpc://host:x", "http://host:1", "grpc://h:1/x"]
)
def test_an_invalid_address_is_an_error(where):
    with pytest.raises(StoreError, match="grpc://host:port"):
        open_store(where)


def test_an_unreachable_server_is_an_error(capfd):
    with pytest.raises(StoreError, match="no MySQL server answers"):
        open_store("mysql://user:secret@127.0.0.1:1/db")
    with pytest.raises(StoreError, match="no metadata server answers there"):
        list_runs(open_store("grpc://127.0.0.1:1"))
    output = capfd.readouterr()
    assert output.out + output.err == ""


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (
            "Changing to database nodb in ConnectImplmysql_query failed: errno: Access denied for user 'reader'@'%' to "
            "database 'nodb', error: Access denied for user 'reader'@'%' to database 'nodb'",
            "there is no such database, or this user may not read it",
        ),
        (
            "mysql_query failed: errno: CREATE command denied to user 'reader'@'localhost' for table `bare`.`Type`",
            "not a store of ML Metadata: its tables are missing",
        ),
        (
            "MLMD database version 9 is older than library version 10. Schema migration is disabled. Please upgrade",
            "its schema is not the supported version, 10; upgrade a copy with ml-metadata (enable_upgrade_migration)",
        ),
    ],
)
def test_errors_of_mysql_are_explained(error, meaning):
    """The errors are those of MariaDB 10.11."""
    assert store_module._explain(RuntimeError(error)) == meaning


def test_errors_do_not_contain_the_password():
    with pytest.raises(StoreError) as raised:
        open_store("mysql://user:secret@127.0.0.1:1/db")
    assert "secret" not in str(raised.value)


@pytest.fixture
def server(recorder):
    """Starts a metadata server with the recorder's store; returns its address."""
    yield from serve(recorder)


@pytest.fixture
def secure_server(recorder, tmp_path, monkeypatch):
    """Starts a metadata server with TLS that requires a client certificate, and sets the variables of the client."""
    keys = tmp_path / "keys"
    make_certificates(keys)
    certificate, key, authority = (keys.joinpath(f"{name}.pem").read_bytes() for name in ("server", "key", "authority"))
    credentials = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    for field, name in (("custom_ca", "authority"), ("server_cert", "server"), ("client_key", "key")):
        monkeypatch.setenv(store_module.TLS_FILES[field], str(keys / f"{name}.pem"))
    yield from serve(recorder, credentials)


def make_certificates(folder: Path) -> None:
    """Writes an authority, and a certificate by it for 127.0.0.1 with its key."""
    folder.mkdir()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    certificates = {}
    for file, owner, is_authority in (("authority", authority_key, True), ("server", key, False)):
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        builder = x509.CertificateBuilder().issuer_name(issuer).public_key(owner.public_key())
        builder = builder.subject_name(issuer if is_authority else name).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificates[file] = builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for file, content in {**certificates, "key": key.private_bytes(*pem)}.items():
        (folder / f"{file}.pem").write_bytes(content)


def serve(recorder, credentials=None):
    """Serves the recorder's store until the generator is closed; yields the address."""

    class Servicer(service_grpc.MetadataStoreServiceServicer):
        pass

    def answer(name: str):
        def method(self, request, context):
            response = getattr(service, f"{name}Response")()
            recorder.store._call(name, request, response)
            return response

        return method

    for name in [method.name for method in service.DESCRIPTOR.services_by_name["MetadataStoreService"].methods]:
        setattr(Servicer, name, answer(name))
    running = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    service_grpc.add_MetadataStoreServiceServicer_to_server(Servicer(), running)
    address = "127.0.0.1:0"
    port = running.add_secure_port(address, credentials) if credentials else running.add_insecure_port(address)
    running.start()
    yield f"{'grpcs' if credentials else 'grpc'}://127.0.0.1:{port}"
    running.stop(None)


def test_metadata_server_gives_the_same_answers(recorder, server, tmp_path):
    run = recorder.run(model=b"mine")
    file = tmp_path / "model.tflite"
    file.write_bytes(b"mine")
    assert [listed.id for listed in list_runs(open_store(server))] == [run.context]
    assert prove(open_store(server), str(file)).story == prove(open_store(str(recorder.path)), str(file)).story


def test_metadata_server_with_tls_needs_the_certificates(recorder, secure_server, monkeypatch, tmp_path):
    run = recorder.run()
    assert [listed.id for listed in list_runs(open_store(secure_server))] == [run.context]
    monkeypatch.delenv("MLMD_CA_FILE")
    with pytest.raises(StoreError, match="no metadata server answers there"):
        list_runs(open_store(secure_server))
    monkeypatch.setenv("MLMD_CA_FILE", str(tmp_path / "nothing.pem"))
    with pytest.raises(StoreError, match=r"MLMD_CA_FILE .*nothing\.pem: No such file or directory"):
        open_store(secure_server)


def test_no_tensorflow_is_imported(recorder):
    recorder.run()
    code = (
        "import sys; from lineage.__main__ import main; "
        f"assert main(['show', '/serving/films', '--metadata', {str(recorder.path)!r}, "
        f"'--html', {str(recorder.path.with_name('page.html'))!r}]) == 0; "
        "heavy = {m.partition('.')[0] for m in sys.modules} & "
        "{'tensorflow', 'tfx', 'keras', 'apache_beam', 'tensorflow_data_validation', 'numpy', 'pyarrow'}; "
        "print('heavy:', heavy, file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (process.returncode, process.stderr) == (0, "heavy: set()\n")


def test_exit_codes_and_one_line_errors(recorder, tmp_path):
    run = recorder.run(model=b"mine")
    (tmp_path / "good.tflite").write_bytes(b"mine")
    (tmp_path / "bad.tflite").write_bytes(b"tampered")
    metadata = ["--metadata", str(recorder.path)]
    for arguments, code, message in (
        (["prove", str(tmp_path / "good.tflite"), *metadata], 0, ""),
        (["prove", str(tmp_path / "bad.tflite"), *metadata], 1, "unknown file: "),
        (["diff", str(run.context), "77", *metadata], 1, "no run '77'"),
        (["show", "nonsense", *metadata], 1, "does not have nonsense"),
        (["runs", "--metadata", str(tmp_path / "nothing.db")], 2, "no such file or folder"),
        (["runs", "--html", str(tmp_path / "no" / "page.html"), *metadata], 2, "cannot be written"),
    ):
        process = lineage(*arguments)
        assert process.returncode == code, (arguments, process.stdout, process.stderr)
        assert message in process.stderr and process.stderr.count("\n") == (1 if code else 0)
