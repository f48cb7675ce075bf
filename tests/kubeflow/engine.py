"""Plays the part of Kubeflow Pipelines 2 without a cluster.

It does what the backend's driver and launcher do (`backend/src/v2/driver` and `component/launcher_v2.go` of
kubeflow/pipelines): resolves a task's inputs, provisions its outputs, replaces `{{$}}` with the executor input, runs
the container's command in a process of its own, and records its outputs. The image is this checkout and
the Python that runs the test. Buckets of `gs://` are folders, which steps read and write themselves; for those of
`s3://` the launcher's part is played, too: inputs are downloaded to the step's own disk, outputs uploaded from it, and
the disk is wiped. What the backend does not implement is refused here too.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from pyarrow.fs import FileSelector, S3FileSystem

from tests.forked import run_forked

EXECUTOR_INPUT = "{{$}}"
S3 = "s3://"
SESSION = '{"Provider":"s3","Params":{"fromEnv":"true"}}'  # how the launcher reached the artifact's store
LOG = "executor-logs"  # that the launcher adds where PUBLISH_LOGS is "true", as in Kubeflow's own manifests


class EngineError(Exception):
    """The pipeline asks for what the backend has not, or a task failed."""


@dataclass
class TaskRun:
    """What came of a task.

    Attributes:
        command: as it was run, its arguments included.
        artifacts: by output name, as `RuntimeArtifact` in JSON.
        seconds: wall time.
    """

    command: list[str]
    artifacts: dict[str, dict[str, Any]]
    seconds: float


class Engine:
    """Runs a compiled pipeline.

    Args:
        text: the YAML file's content.
        folder: for buckets, working directories and logs.
        project: the checkout that the image holds.
        environment: of every container, besides what an image has.
        forked: whether the containers' processes start with the libraries imported, which saves some ten seconds each.
            It can be changed between runs.
    """

    def __init__(
        self,
        text: str,
        folder: Path,
        project: Path,
        environment: Mapping[str, str] | None = None,
        *,
        forked: bool = False,
    ):
        self.forked = forked
        self.folder = folder
        self._project = project
        self._environment = dict(environment or {})
        # A bucket is a folder: processes here cannot speak to an object store.
        spec, *_ = yaml.safe_load_all(text.replace("gs://", f"{folder}/"))
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())  # raises where it is no pipeline spec
        self._spec = spec
        self._ids = itertools.count(1)
        self.runs: dict[str, TaskRun] = {}

    def run(self, parameters: Mapping[str, Any], only: Iterable[str] | None = None) -> dict[str, TaskRun]:
        """Run the tasks in the order of their dependencies.

        Args:
            parameters: given at submission.
            only: tasks to run again, for the others the last run counts; None is all.

        Returns:
            What was run, by task, in order.

        Raises:
            EngineError: a task failed, or cannot be run by the backend.
        """
        values = self._root_parameters(parameters)
        root = "/".join((self._spec["defaultPipelineRoot"], self._spec["pipelineInfo"]["name"], uuid.uuid4().hex))
        done = {}
        for name, task in self._in_order():
            if only is None or name in only:
                self.runs[name] = done[name] = self._run_task(name, task, values, root)
        return done

    def _root_parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        declared = self._spec["root"].get("inputDefinitions", {}).get("parameters", {})
        if unknown := set(given) - set(declared):
            raise EngineError(f"the pipeline has no parameters {sorted(unknown)}")
        values = {name: spec["defaultValue"] for name, spec in declared.items() if "defaultValue" in spec} | dict(given)
        if missing := {name for name, spec in declared.items() if not spec.get("isOptional")} - set(values):
            raise EngineError(f"the parameters {sorted(missing)} have no value")
        return values

    def _in_order(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Tasks, each after those that it depends on."""
        waiting = dict(self._spec["root"]["dag"]["tasks"])
        done: set[str] = set()
        while waiting:
            ready = [name for name, task in waiting.items() if set(task.get("dependentTasks", [])) <= done]
            if not ready:
                raise EngineError(f"a circle among the tasks {sorted(waiting)}")
            for name in ready:
                yield name, waiting.pop(name)
                done.add(name)

    def _run_task(self, name: str, task: dict[str, Any], values: dict[str, Any], root: str) -> TaskRun:
        component = self._spec["components"][task["componentRef"]["name"]]
        container = self._container(name, task, component)
        disk, task_root = self.folder / "disks" / name, f"{root}/{name}/{uuid.uuid4().hex}"
        outputs = {
            key: {
                "name": key,
                "uri": f"{task_root}/{key}",
                "type": spec["artifactType"],
                "metadata": spec.get("metadata", {}),
            }
            for key, spec in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        log = {LOG: {"name": LOG, "uri": f"{task_root}/{LOG}", "type": {"schemaTitle": "system.Artifact"}}}
        inputs = self._artifacts(name, task)
        output_file = _local(task_root, disk) / "output_metadata.json"
        executor_input = {
            "inputs": {
                "parameterValues": self._parameters(name, task, values),
                "artifacts": {key: {"artifacts": [_on(disk, found)]} for key, found in inputs.items()},
            },
            "outputs": {
                "artifacts": {key: {"artifacts": [_on(disk, made)]} for key, made in (outputs | log).items()},
                "outputFile": str(output_file),
            },
        }
        json_format.ParseDict(executor_input, pipeline_spec_pb2.ExecutorInput())
        output_file.parent.mkdir(parents=True)
        for found in inputs.values():
            self._download(found["uri"], disk)
        for made in outputs.values():
            _local(made["uri"], disk).parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        if hook := container.get("lifecycle", {}).get("preCacheCheck"):
            self._execute(f"{name}-driver", [*hook["command"], *hook.get("args", [])], executor_input, {})
        variables = {variable["name"]: variable["value"] for variable in container.get("env", [])}
        command = self._execute(name, [*container["command"], *container.get("args", [])], executor_input, variables)
        told = json.loads(output_file.read_text()) if output_file.exists() else {}
        for key, made in outputs.items():
            for described in told.get("artifacts", {}).get(key, {}).get("artifacts", [])[:1]:
                made["uri"] = described.get("uri") or made["uri"]
                made["metadata"] = {**made["metadata"], **described.get("metadata", {})}
            if not made["uri"].startswith(f"{root}/"):
                raise EngineError(f"{name}: its output {key} is {made['uri']}, which is not in the run's folder {root}")
            self._upload(made["uri"], disk)
            # As ML Metadata hands it on: by its number, with a display name.
            made["name"] = str(next(self._ids))
            known = {field: _property(value, f"{name}: {key}") for field, value in made["metadata"].items()}
            made["metadata"] = {"display_name": key, "store_session_info": SESSION, **known}
            made["type"] = {"instanceSchema": ""}  # `OutputArtifact.ToRuntimeArtifact` knows none.
        shutil.rmtree(disk)
        return TaskRun(command, outputs, time.monotonic() - started)

    def _store(self) -> S3FileSystem:
        return S3FileSystem(
            access_key=self._environment["AWS_ACCESS_KEY_ID"],
            secret_key=self._environment["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=self._environment["AWS_ENDPOINT_URL"],
        )

    def _download(self, uri: str, disk: Path) -> None:
        """Copy what lies below a key; without anything there, there is no local path either."""
        if not uri.startswith(S3):
            return
        store, key = self._store(), uri.removeprefix(S3)
        for found in store.get_file_info(FileSelector(key, allow_not_found=True, recursive=True)):
            if found.is_file:
                target = _local(S3 + found.path, disk)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(store.open_input_stream(found.path).read())

    def _upload(self, uri: str, disk: Path) -> None:
        """Copy only files: an object store has no empty folders."""
        if not uri.startswith(S3):
            return
        store, source = self._store(), _local(uri, disk)
        for file in [source] if source.is_file() else source.rglob("*"):
            if file.is_file():
                key = uri if file == source else f"{uri}/{file.relative_to(source)}"
                with store.open_output_stream(key.removeprefix(S3)) as stream:
                    stream.write(file.read_bytes())

    def _container(self, name: str, task: dict[str, Any], component: dict[str, Any]) -> dict[str, Any]:
        if "dag" in component or "iterator" in str(sorted(task)) or task.get("triggerPolicy"):
            raise EngineError(f"{name}: nested, repeated and conditional tasks are not played here")
        executor = self._spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "container" not in executor:
            raise EngineError(f"{name}: Kubeflow Pipelines has no executor of the kind {sorted(executor)}")
        container: dict[str, Any] = executor["container"]
        return container

    def _parameters(self, name: str, task: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for key, spec in task.get("inputs", {}).get("parameters", {}).items():
            if "componentInputParameter" in spec:
                found[key] = values[spec["componentInputParameter"]]
            elif "constant" in spec.get("runtimeValue", {}):
                found[key] = spec["runtimeValue"]["constant"]
            else:
                raise EngineError(f"{name}: no way to the parameter {key} from {spec}")
        return found

    def _artifacts(self, name: str, task: dict[str, Any]) -> dict[str, dict[str, Any]]:
        found = {}
        for key, spec in task.get("inputs", {}).get("artifacts", {}).items():
            source = spec["taskOutputArtifact"]
            if source["producerTask"] not in task["dependentTasks"]:
                raise EngineError(f"{name}: does not wait for {source['producerTask']}, whose output it takes")
            found[key] = self.runs[source["producerTask"]].artifacts[source["outputArtifactKey"]]
        return found

    def _execute(
        self, name: str, command: list[str], executor_input: dict[str, Any], variables: Mapping[str, str]
    ) -> list[str]:
        argument = json.dumps(executor_input)
        command = [part.replace(EXECUTOR_INPUT, argument) for part in command]
        # The image's environment: its Python first on the PATH, the project importable; nothing else of this process.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
        environment = {"PATH": path, "PYTHONPATH": str(self._project), "HOME": str(self.folder)}
        environment |= {**variables, **self._environment}
        log = self.folder / f"{name}.log"
        if self.forked:
            python, option, module, *arguments = command
            assert (python, option) == ("python", "-m")
            done = run_forked(module, arguments, self.folder, environment)
            log.write_text(done.stdout + done.stderr)
        else:
            with log.open("w") as stream:
                done = subprocess.run(
                    command, cwd=self.folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, text=True
                )
        if done.returncode:
            raise EngineError(f"{name} ended with {done.returncode}:\n{log.read_text()[-3000:]}")
        return command


def _local(uri: str, disk: Path) -> Path:
    return disk / "s3" / uri.removeprefix(S3).lstrip("/")


def _property(value: Any, of: str) -> Any:
    """A property as it comes back from ML Metadata (`StructValueToMLMDValue`)."""
    if value is None:
        raise EngineError(f"{of}: Kubeflow Pipelines cannot record a property without a value")
    return {"list": value} if isinstance(value, list) else {"struct": value} if isinstance(value, dict) else value


def _on(disk: Path, artifact: dict[str, Any]) -> dict[str, Any]:
    """An artifact as a step gets it. A test may not write to `/s3`, so that the path is given."""
    return {
        **artifact,
        **({"customPath": str(_local(artifact["uri"], disk))} if artifact["uri"].startswith(S3) else {}),
    }
