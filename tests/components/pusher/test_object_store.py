"""Versions in simulated object stores: TensorFlow's file system in memory, and moto's server for S3."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from components import conditional
from components.evaluator import last_blessed
from components.evaluator.blessed import Blessed, holds_model
from components.pusher import object_store
from components.pusher.executor import _publish
from components.pusher.object_store import ObjectVersionStore
from components.pusher.store import StoreError
from tests.object_store import BUCKET, played_s3


@pytest.fixture(scope="module")
def s3_bucket() -> Iterator[str]:
    """A bucket on an S3 server in this process."""
    with played_s3():
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["ram", "s3"])
def root(request: pytest.FixtureRequest) -> str:
    """A folder for this test only."""
    name = uuid.uuid4().hex
    return f"ram://{name}/models" if request.param == "ram" else f"{request.getfixturevalue('s3_bucket')}/{name}/models"


@pytest.fixture
def store(root: str) -> ObjectVersionStore:
    return ObjectVersionStore(root, "rings")


def push(store: ObjectVersionStore, content: str = "model") -> str:
    with store.push() as staging:
        (staging / "model.tflite").write_text(content, encoding="utf-8")
        return store.publish(staging, {"format": 1, "version": "", "pipeline": "rings"})


def read(uri: str) -> str:
    with fileio.open(uri) as stream:
        return str(stream.read())


def test_version_numbers_increase_and_latest_names_the_last_version(store):
    assert store.versions() == []
    assert [push(store, f"model {number}") for number in range(1, 12)][-1] == "11"
    assert store.versions()[-1] == "11"
    assert read(f"{store.folder}/latest") == "11\n"
    assert read(f"{store.folder}/11/model.tflite") == "model 11"
    assert json.loads(read(f"{store.folder}/11/model_info.json"))["version"] == "11"


@pytest.mark.parametrize("killed_at", ["model.tflite", "model_info.json", "latest"])
def test_files_of_a_killed_push_are_never_served(store, monkeypatch, killed_at):
    push(store)
    written = []

    class Killed(BaseException):
        pass

    def unless_killed(call):
        def wrapped(*arguments):
            uri = arguments[-1] if call is fileio.copy else arguments[0]
            if uri.endswith(killed_at):
                raise Killed
            written.append(Path(uri).name)
            return call(*arguments)

        return wrapped

    def replace(text: str) -> None:
        unless_killed(lambda uri: latest(text))(f"{store.folder}/latest")

    latest = store._latest.replace
    with monkeypatch.context() as patch:
        patch.setattr(object_store.fileio, "copy", unless_killed(fileio.copy))
        patch.setattr(object_store.io_utils, "write_string_file", unless_killed(io_utils.write_string_file))
        patch.setattr(store._latest, "replace", replace)
        with pytest.raises(Killed):
            push(store, "half")
    # The order of writes is files, marker, pointer.
    order = ["model.tflite", "model_info.json", "latest"]
    assert [name for name in written if name in order] == order[: order.index(killed_at)]
    assert store.latest() == "1"
    assert push(store, "next") == "3"
    assert store.latest() == "3"


def test_the_number_of_a_deleted_version_is_not_reused(store):
    for _ in range(2):
        push(store)
    fileio.rmtree(f"{store.folder}/2")
    fileio.remove(f"{store.folder}/latest")
    assert push(store) == "3"


def test_two_concurrent_pushes_get_different_numbers(store, root, monkeypatch):
    """The other push claims its number after this push claims its own and before this push lists the claims."""
    other_store = ObjectVersionStore(root, "rings")
    original_write = io_utils.write_string_file

    def interrupted(uri: str, text: str) -> None:
        original_write(uri, text)
        if "/.claims/1-" in uri:
            monkeypatch.setattr(object_store.io_utils, "write_string_file", original_write)
            push(other_store, "other")

    monkeypatch.setattr(object_store.io_utils, "write_string_file", interrupted)
    with contextlib.suppress(StoreError):  # The version with the later number is served.
        push(store, "this")
    assert len(store.versions()) == 2 and store.latest() == store.versions()[-1]
    assert {store.read(version, "model.tflite") for version in store.versions()} == {"this", "other"}


@pytest.mark.parametrize("other_first", [True, False])
def test_the_later_version_of_two_concurrent_pushes_is_served(store, root, monkeypatch, other_first):
    """The other push happens after this push reads `latest` and before it writes `latest`."""
    push(store)
    other_store = ObjectVersionStore(root, "rings")
    replace = store._latest.replace

    def interrupted(text: str) -> None:
        monkeypatch.undo()
        if other_first:
            other_store.latest()
            other_store._latest.replace("9\n")
        else:
            push(other_store, "other")  # It has number 3, and this push has number 2.
        replace(text)

    monkeypatch.setattr(store._latest, "replace", interrupted)
    later = 9 if other_first else 3
    with pytest.raises(
        StoreError, match=f"version {later} was pushed at the same time and is served; version 2"
    ) as error:
        push(store, "this")
    root, name = store.folder.rsplit("/", 1)
    assert f"rollback --serving-dir {root} --name {name} --to 2`" in str(error.value)
    assert store.latest() == str(later)
    assert read(f"{store.folder}/2/model.tflite") == "this"


def test_a_push_during_a_rollback_is_served(store, root, monkeypatch):
    for _ in range(2):
        push(store)
    replace = store._latest.replace

    def interrupted(text: str) -> None:
        monkeypatch.undo()
        other_store = ObjectVersionStore(root, "rings")
        other_store.latest()
        other_store.point_latest_at("1")
        replace(text)

    monkeypatch.setattr(store._latest, "replace", interrupted)
    push(store)
    assert store.latest() == "3"


def test_a_rollback_during_a_push_is_an_error(store, root):
    for _ in range(2):
        push(store)
    assert store.latest() == "2"
    push(ObjectVersionStore(root, "rings"), "other")
    with pytest.raises(StoreError, match="latest was moved at the same time, to version 3, and stays there"):
        store.point_latest_at("1")
    assert store.latest() == "3"


def test_two_concurrent_runs_each_add_their_blessed_model_to_the_record(root, monkeypatch):
    record = f"{root}/last_blessed_model"
    last_blessed.add_to_record(record, Blessed("first"))
    parse = last_blessed._parse
    other_models = iter([Blessed("other")])

    def interrupted(name: str, text: str | None) -> list[Blessed]:
        for model in other_models:  # Once, after this run reads the record and before it writes it.
            last_blessed.add_to_record(record, model)
        return parse(name, text)

    monkeypatch.setattr(last_blessed, "_parse", interrupted)
    last_blessed.add_to_record(record, Blessed("mine"))
    assert [blessed.model for blessed in last_blessed.read_record(record)] == ["first", "other", "mine"]


def test_a_store_without_conditional_writes_is_used_with_a_warning(s3_bucket, monkeypatch, caplog):
    shared = conditional.shared_object(f"{s3_bucket}/{uuid.uuid4().hex}")
    put = shared._client.put_object

    def refuse(**arguments: Any) -> Any:
        if {"IfMatch", "IfNoneMatch"} & set(arguments):
            answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
            raise ClientError(answer, "PutObject")
        return put(**arguments)

    monkeypatch.setattr(shared._client, "put_object", refuse)
    for text in ("1\n", "2\n"):
        shared.replace(text)
        assert shared.read() == text
    assert "the store has no conditional writes" in caplog.text


@pytest.mark.parametrize("uri", ["s3://no-such-bucket-here/latest", "s3://no bucket/latest"])
def test_an_error_of_the_store_is_one_line(s3_bucket, uri):
    shared = conditional.shared_object(uri)
    for call in (shared.read, lambda: shared.replace("1")):
        with pytest.raises(OSError, match=f"^{uri}: ") as error:
            call()
        assert "\n" not in str(error.value)


def test_endless_conflicts_are_an_error(store, monkeypatch):
    def conflict(text: str) -> None:
        raise conditional.ConflictError("412")

    monkeypatch.setattr(store._latest, "replace", conflict)
    with pytest.raises(StoreError, match="latest was written by others 10 times in a row, or the store's conditional"):
        push(store)
    assert store.versions() == ["1"] and store.latest() is None


class GoogleBlob:
    """Simulates a blob of google.cloud.storage with its generations."""

    content, generation = None, None
    stored: tuple[bytes, int] | None = None

    def download_as_bytes(self) -> bytes:
        from google.api_core.exceptions import NotFound

        if GoogleBlob.stored is None:
            raise NotFound("no object")
        content, self.generation = GoogleBlob.stored
        return content

    def upload_from_string(self, text: str, if_generation_match: int) -> None:
        from google.api_core.exceptions import PreconditionFailed

        now = GoogleBlob.stored[1] if GoogleBlob.stored else 0
        if if_generation_match != now:
            raise PreconditionFailed("generation")
        self.generation = now + 1
        GoogleBlob.stored = (text.encode(), now + 1)


def test_google_cloud_storage_compares_generations(monkeypatch):
    class Client:
        def bucket(self, name: str) -> Client:
            return self

        def blob(self, key: str) -> GoogleBlob:
            return GoogleBlob()

    monkeypatch.setattr("google.cloud.storage.Client", Client)
    monkeypatch.setattr(GoogleBlob, "stored", None)
    first, second = (conditional.shared_object("gs://bucket/models/rings/latest") for _ in range(2))
    assert first.read() is None and second.read() is None
    first.replace("1\n")
    with pytest.raises(conditional.ConflictError):
        second.replace("2\n")
    assert second.read() == "1\n"
    second.replace("2\n")
    second.replace("3\n")
    assert first.read() == "3\n"


def test_a_push_that_was_killed_at_its_end_is_not_repeated(store, stage):
    versions = []
    for source in ("first", "first", "second"):
        with store.push() as staging:
            versions.append(_publish(store, staging, stage(staging, source)))
    assert versions == ["1", "1", "2"]
    assert store.versions()[-1] == "2"


def test_a_store_that_cannot_be_written_to_is_an_error():
    with pytest.raises(StoreError, match=r"^nowhere://bucket/rings: cannot be written to \(.*\); choose"):
        ObjectVersionStore("nowhere://bucket", "rings")


def test_a_missing_bucket_is_an_error(s3_bucket):
    with pytest.raises(StoreError, match=r"^s3://elsewhere/rings: cannot be written to \(Bucket 'elsewhere' not found"):
        ObjectVersionStore("s3://elsewhere", "rings")


def test_minio_uris_work_like_s3_uris(s3_bucket):
    """The checkpoint of a fit and the record of statistics are written beside and renamed."""
    folder = f"{s3_bucket.replace('s3:', 'minio:')}/{uuid.uuid4().hex}"
    for text in ("old", "new"):
        with fileio.open(f"{folder}/record.new", "w") as stream:
            stream.write(text)
        fileio.rename(f"{folder}/record.new", f"{folder}/record", overwrite=True)
    assert read(f"{folder}/record") == "new" and fileio.listdir(folder) == ["record"]
    with fileio.open(f"{folder}/record.new", "w") as stream:
        stream.write("newest")
    with pytest.raises(OSError, match="record: already exists"):
        fileio.rename(f"{folder}/record.new", f"{folder}/record")


def test_the_record_of_blessed_models_is_stored_in_the_object_store(root):
    record, model = f"{root}/p/last_blessed_model", f"{root}/p/Trainer/model"
    last_blessed.add_to_record(record, Blessed(model))
    last_blessed.add_to_record(record, Blessed("another", model, 0.25))
    assert last_blessed.read_record(record) == [Blessed(model), Blessed("another", model, 0.25)]
    assert not holds_model(model)
    fileio.makedirs(f"{model}/Format-Serving")
    with fileio.open(f"{model}/Format-Serving/saved_model.pb", "w") as stream:
        stream.write("graph")
    assert holds_model(model)
