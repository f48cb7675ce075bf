"""Versions in object stores that are played: by TensorFlow's file system in memory, and for S3 by moto's server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tfx.dsl.io import fileio

from components.evaluator import last_blessed
from components.evaluator.blessed import Blessed, holds_model
from components.pusher import object_store
from components.pusher.executor import _publish
from components.pusher.object_store import ObjectVersionStore
from components.pusher.store import StoreError
from tests.object_store import BUCKET, played_s3


@pytest.fixture(scope="module")
def s3_bucket() -> Iterator[str]:
    """A bucket in a server of this process, which speaks as S3 does."""
    with played_s3():
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["ram", "s3"])
def root(request: pytest.FixtureRequest) -> str:
    """A folder of this test's own."""
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


def test_versions_count_up_and_latest_names_the_last(store):
    assert store.newest() is None
    assert [push(store, f"model {number}") for number in range(1, 12)][-1] == f"{store.folder}/11"
    assert store.newest() == f"{store.folder}/11"
    assert read(f"{store.folder}/latest") == "11\n"
    assert read(f"{store.folder}/11/model.tflite") == "model 11"
    assert json.loads(read(f"{store.folder}/11/model_info.json"))["version"] == "11"


@pytest.mark.parametrize("killed_at", ["model.tflite", "model_info.json", "latest"])
def test_what_a_killed_push_leaves_is_never_pointed_at(store, monkeypatch, killed_at):
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

    with monkeypatch.context() as patch:
        patch.setattr(object_store.fileio, "copy", unless_killed(fileio.copy))
        patch.setattr(object_store, "_write", unless_killed(object_store._write))
        with pytest.raises(Killed):
            push(store, "half")
    # Files, then the marker, then the pointer.
    order = ["model.tflite", "model_info.json", "latest"]
    assert [name for name in written if name in order] == order[: order.index(killed_at)]
    assert store.latest() == "1"
    assert push(store, "next") == f"{store.folder}/3"
    assert store.latest() == "3"


def test_deleted_version_is_not_given_again(store):
    for _ in range(2):
        push(store)
    fileio.rmtree(f"{store.folder}/2")
    fileio.remove(f"{store.folder}/latest")
    assert push(store) == f"{store.folder}/3"


def test_of_two_pushes_at_once_each_has_a_number(store, root, monkeypatch):
    """The other push claims its number between this one's claim and its look at the claims."""
    other = ObjectVersionStore(root, "rings")
    real, published = object_store._write, []

    def interrupted(uri: str, text: str) -> None:
        real(uri, text)
        if "/.claims/1-" in uri:
            monkeypatch.setattr(object_store, "_write", real)
            published.append(push(other, "other"))

    monkeypatch.setattr(object_store, "_write", interrupted)
    published.append(push(store, "this"))
    assert len(set(published)) == 2
    assert {read(f"{version}/model.tflite") for version in published} == {"this", "other"}


def test_a_push_that_was_killed_before_it_could_tell_is_not_repeated(store, stage):
    versions = []
    for source in ("first", "first", "second"):
        with store.push() as staging:
            versions.append(_publish(store, staging, stage(staging, source)))
    assert versions == [f"{store.folder}/{number}" for number in (1, 1, 2)]
    assert store.newest() == f"{store.folder}/2"


def test_store_that_cannot_be_written_to():
    with pytest.raises(StoreError, match=r"^nowhere://bucket/rings: cannot be written to \(.*\); choose"):
        ObjectVersionStore("nowhere://bucket", "rings")


def test_bucket_that_is_not_there(s3_bucket):
    with pytest.raises(StoreError, match=r"^s3://elsewhere/rings: cannot be written to \(Bucket 'elsewhere' not found"):
        ObjectVersionStore("s3://elsewhere", "rings")


def test_minio_is_s3_by_another_name(s3_bucket):
    """The checkpoint of a fit and the record of statistics are written beside and renamed."""
    folder = f"{s3_bucket.replace('s3:', 'minio:')}/{uuid.uuid4().hex}"
    for text in ("old", "new"):
        with fileio.open(f"{folder}/record.new", "w") as stream:
            stream.write(text)
        fileio.rename(f"{folder}/record.new", f"{folder}/record", overwrite=True)
    assert read(f"{folder}/record") == "new" and fileio.listdir(folder) == ["record"]
    with fileio.open(f"{folder}/record.new", "w") as stream:
        stream.write("newest")
    with pytest.raises(OSError, match="record: is there already"):
        fileio.rename(f"{folder}/record.new", f"{folder}/record")


def test_record_of_the_last_blessed_models(root):
    record, model = f"{root}/p/last_blessed_model", f"{root}/p/Trainer/model"
    last_blessed.remember(record, Blessed(model))
    last_blessed.remember(record, Blessed("another", model, 0.25))
    assert last_blessed.recall(record) == [Blessed(model), Blessed("another", model, 0.25)]
    assert not holds_model(model)
    fileio.makedirs(f"{model}/Format-Serving")
    with fileio.open(f"{model}/Format-Serving/saved_model.pb", "w") as stream:
        stream.write("graph")
    assert holds_model(model)
