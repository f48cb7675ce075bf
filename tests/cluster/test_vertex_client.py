"""Calls of the client of Vertex AI."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from cluster.operations import change_schedules, follow, replace_schedule
from tests.cluster.deployments import NIGHTLY, client, no_records, submission


class VertexClient:
    """A fake of `google.cloud.aiplatform` that records the arguments of its calls."""

    def __init__(self) -> None:
        self.calls: dict[str, Any] = {}
        calls = self.calls
        state = types.SimpleNamespace(name="PIPELINE_STATE_FAILED")
        task = types.SimpleNamespace(
            task_name="Trainer",
            state=types.SimpleNamespace(name="FAILED"),
            error=types.SimpleNamespace(message="exit status 1\nmore"),
        )

        class Schedule:
            resource_name, display_name, cron = "projects/7/locations/r/schedules/1", "shop", NIGHTLY
            state = types.SimpleNamespace(name="PAUSED")

            def pause(self) -> None:
                calls["pause"] = self.resource_name

            def resume(self, catch_up: bool) -> None:
                calls["resume"] = catch_up

            def delete(self) -> None:
                calls["delete"] = self.resource_name

        class Job:
            resource_name, display_name = "projects/7/locations/r/pipelineJobs/9", "shop"
            task_details = (task,)

            def __init__(self, **arguments: Any):
                self.state = state
                calls["job"] = arguments

            def submit(self, **arguments: Any) -> None:
                calls["submit"] = arguments

            def create_schedule(self, *arguments: Any, **options: Any) -> Schedule:
                calls["schedule"] = (*arguments, options)
                return Schedule()

            def _dashboard_uri(self) -> str:
                return "https://console.cloud.google.com/run"

            @classmethod
            def list(cls, query: str, **options: Any) -> list[Any]:
                calls["list"] = (query, options)
                return [cls()]

            @classmethod
            def get(cls, name: str, **options: Any) -> Any:
                return cls()

        class Schedules:
            @staticmethod
            def list(query: str, **options: Any) -> list[Any]:
                return [Schedule()] if query == 'display_name="shop"' else []

        self.PipelineJob, self.PipelineJobSchedule = Job, Schedules


@pytest.fixture
def vertex(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replaces the client of Vertex AI, which takes seconds to import, and returns the arguments of its calls.

    `tests/kubeflow/test_compilation.py` uses the real client.
    """
    import google.cloud

    fake_client = VertexClient()
    monkeypatch.setitem(sys.modules, "google.cloud.aiplatform", fake_client)
    monkeypatch.setattr(google.cloud, "aiplatform", fake_client, raising=False)
    return fake_client.calls


PLACE = {"project": "p", "region": "r"}


def test_start_submits_a_run_to_vertex(file, vertex):
    options = {"network": "projects/7/global/networks/n", "encryption_key": "k", "experiment": "shops"}
    run = client("vertex", **PLACE, **options, labels={"team": "ads"}).start(submission(file))
    assert run.page == "https://console.cloud.google.com/run"
    assert vertex["job"] == {
        "display_name": "shop 2026-11-28 01234567",
        "template_path": str(file),
        "pipeline_root": "gs://bucket/pipelines",
        "parameter_values": {"encoder": "bow"},
        "labels": {"team": "ads"},
        "encryption_spec_key_name": "k",
        "project": "p",
        "location": "r",
    }
    network = {"service_account": "runner", "network": "projects/7/global/networks/n"}
    assert vertex["submit"] == {"experiment": "shops", **network}


def test_a_schedule_on_vertex_has_a_time_zone(file, vertex, console):
    replace_schedule(client("vertex", **PLACE), submission(file, cron=NIGHTLY, time_zone="Europe/Berlin"), console)
    assert vertex["schedule"] == (f"TZ=Europe/Berlin {NIGHTLY}", "shop", {"service_account": "runner"})
    assert vertex["delete"] == "projects/7/locations/r/schedules/1"
    assert "(Europe/Berlin)" in console.export_text()


def test_schedules_on_vertex_are_paused_and_resumed(vertex, console):
    vertex_client = client("vertex", **PLACE)
    for change in ("pause", "resume"):
        change_schedules(vertex_client, "shop", change, console)
    assert vertex["pause"] == "projects/7/locations/r/schedules/1"
    assert vertex["resume"] is False, "missed runs are not started later"


def test_a_failed_run_on_vertex_names_the_step(vertex, console):
    vertex_client = client("vertex", **PLACE)
    (run,) = vertex_client.runs("shop", 1)
    assert vertex["list"][0] == 'pipeline_name="shop"'
    assert not follow(vertex_client, run, no_records, console, poll_seconds=0)
    assert console.export_text().splitlines()[-1] == "failed: Trainer: exit status 1"
