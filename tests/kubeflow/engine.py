"""Imitates Kubeflow Pipelines 2 without a cluster.

It imitates the backend's driver and launcher (`backend/src/v2/driver` and `component/launcher_v2.go` of
kubeflow/pipelines): resolves a task's inputs, provisions its outputs, replaces `{{$}}` with the executor input, runs
the container's command in its own process, and records its outputs. The image is this checkout and the Python that
runs the test. Buckets of `gs://` are folders, which steps read and write themselves. For `s3://`, the engine also
imitates the copies of the launcher: it downloads inputs to the step's own disk, uploads outputs from it, and wipes the
disk. The engine refuses features that the backend does not implement.
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
SESSION = '{"Provider":"s3","Params":{"fromEnv":"true"}}'  # the launcher's access to the artifact's store
LOG = "executor-logs"  # which the launcher adds if PUBLISH_LOGS is "true", as in Kubeflow's own manifests


class EngineError(Exception):
    """The pipeline uses a feature that the backend lacks, or a task failed."""


@dataclass
class TaskRun:
    """The result of a task.

    Attributes:
        command: the command, with its arguments.
        artifacts: by output name, as `RuntimeArtifact` in JSON.
        seconds: wall time.
    """

    command: list[str]
    artifacts: dict[str, dict[str, Any]]
    seconds: float


class Engine:
    """Runs a compiled pipeline.

    Args:
        text: The content of the YAML file.
        folder: A folder for buckets, working directories and logs.
        project: The checkout in the image.
        environment: Variables of every container, in addition to those of the image.
        forked: Whether the containers' processes start with the libraries imported, which saves some ten seconds each.
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
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())  # raises an error if it is not a pipeline spec
        self._spec = spec
        self._ids = itertools.count(1)
        self.runs: dict[str, TaskRun] = {}

    def run(self, parameters: Mapping[str, Any], only: Iterable[str] | None = None) -> dict[str, TaskRun]:
        """Runs the tasks in the order of their dependencies.

        Args:
            parameters: The parameters of the submission.
            only: The tasks to run again; the results of other tasks are those of the last run. None is all tasks.

        Returns:
            The results of the tasks that ran, by task, in order.

        Raises:
            EngineError: A task failed, or the backend cannot run it.
        """
        values = self._root_parameters(parameters)
        root = "/".join((self._spec["defaultPipelineRoot"], self._spec["pipelineInfo"]["name"], uuid.uuid4().hex))
        results = {}
        for name, task in self._in_order():
            if only is None or name in only:
                self.runs[name] = results[name] = self._run_task(name, task, values, root)
        return results

    def _root_parameters(self, submitted: Mapping[str, Any]) -> dict[str, Any]:
        declared = self._spec["root"].get("inputDefinitions", {}).get("parameters", {})
        if unknown := set(submitted) - set(declared):
            raise EngineError(f"the pipeline has no parameters {sorted(unknown)}")
        values = {name: spec["defaultValue"] for name, spec in declared.items() if "defaultValue" in spec} | dict(
            submitted
        )
        if missing := {name for name, spec in declared.items() if not spec.get("isOptional")} - set(values):
            raise EngineError(f"the parameters {sorted(missing)} have no value")
        return values

    def _in_order(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yields the tasks, each after the tasks that it depends on."""
        waiting = dict(self._spec["root"]["dag"]["tasks"])
        finished: set[str] = set()
        while waiting:
            ready = [name for name, task in waiting.items() if set(task.get("dependentTasks", [])) <= finished]
            if not ready:
                raise EngineError(f"a circle among the tasks {sorted(waiting)}")
            for name in ready:
                yield name, waiting.pop(name)
                finished.add(name)

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
                "artifacts": {key: {"artifacts": [_on_disk(disk, artifact)]} for key, artifact in inputs.items()},
            },
            "outputs": {
                "artifacts": {key: {"artifacts": [_on_disk(disk, output)]} for key, output in (outputs | log).items()},
                "outputFile": str(output_file),
            },
        }
        json_format.ParseDict(executor_input, pipeline_spec_pb2.ExecutorInput())
        output_file.parent.mkdir(parents=True)
        for artifact in inputs.values():
            self._download(artifact["uri"], disk)
        for output in outputs.values():
            _local(output["uri"], disk).parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        if hook := container.get("lifecycle", {}).get("preCacheCheck"):
            self._execute(f"{name}-driver", [*hook["command"], *hook.get("args", [])], executor_input, {})
        variables = {variable["name"]: variable["value"] for variable in container.get("env", [])}
        command = self._execute(name, [*container["command"], *container.get("args", [])], executor_input, variables)
        recorded = json.loads(output_file.read_text()) if output_file.exists() else {}
        for key, output in outputs.items():
            for update in recorded.get("artifacts", {}).get(key, {}).get("artifacts", [])[:1]:
                output["uri"] = update.get("uri") or output["uri"]
                output["metadata"] = {**output["metadata"], **update.get("metadata", {})}
            if not output["uri"].startswith(f"{root}/"):
                raise EngineError(
                    f"{name}: its output {key} is {output['uri']}, which is not in the run's folder {root}"
                )
            self._upload(output["uri"], disk)
            # ML Metadata passes it on under its number, with a display name.
            output["name"] = str(next(self._ids))
            properties = {field: _property(value, f"{name}: {key}") for field, value in output["metadata"].items()}
            output["metadata"] = {"display_name": key, "store_session_info": SESSION, **properties}
            output["type"] = {"instanceSchema": ""}  # `OutputArtifact.ToRuntimeArtifact` sets none.
        shutil.rmtree(disk)
        return TaskRun(command, outputs, time.monotonic() - started)

    def _store(self) -> S3FileSystem:
        return S3FileSystem(
            access_key=self._environment["AWS_ACCESS_KEY_ID"],
            secret_key=self._environment["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=self._environment["AWS_ENDPOINT_URL"],
        )

    def _download(self, uri: str, disk: Path) -> None:
        """Copies the objects below a key; without objects, there is no local path."""
        if not uri.startswith(S3):
            return
        store, key = self._store(), uri.removeprefix(S3)
        for entry in store.get_file_info(FileSelector(key, allow_not_found=True, recursive=True)):
            if entry.is_file:
                target = _local(S3 + entry.path, disk)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(store.open_input_stream(entry.path).read())

    def _upload(self, uri: str, disk: Path) -> None:
        """Copies only files: an object store has no empty folders."""
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
            raise EngineError(f"{name}: nested, repeated and conditional tasks are not supported here")
        executor = self._spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "container" not in executor:
            raise EngineError(f"{name}: Kubeflow Pipelines has no executor of the kind {sorted(executor)}")
        container: dict[str, Any] = executor["container"]
        return container

    def _parameters(self, name: str, task: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        parameters = {}
        for key, spec in task.get("inputs", {}).get("parameters", {}).items():
            if "componentInputParameter" in spec:
                parameters[key] = values[spec["componentInputParameter"]]
            elif "constant" in spec.get("runtimeValue", {}):
                parameters[key] = spec["runtimeValue"]["constant"]
            else:
                raise EngineError(f"{name}: no way to the parameter {key} from {spec}")
        return parameters

    def _artifacts(self, name: str, task: dict[str, Any]) -> dict[str, dict[str, Any]]:
        artifacts = {}
        for key, spec in task.get("inputs", {}).get("artifacts", {}).items():
            source = spec["taskOutputArtifact"]
            if source["producerTask"] not in task["dependentTasks"]:
                raise EngineError(f"{name}: does not wait for {source['producerTask']}, whose output it takes")
            artifacts[key] = self.runs[source["producerTask"]].artifacts[source["outputArtifactKey"]]
        return artifacts

    def _execute(
        self, name: str, command: list[str], executor_input: dict[str, Any], variables: Mapping[str, str]
    ) -> list[str]:
        argument = json.dumps(executor_input)
        command = [part.replace(EXECUTOR_INPUT, argument) for part in command]
        # The image's environment: its Python first on the PATH, the project importable; no variables of this process.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
        environment = {"PATH": path, "PYTHONPATH": str(self._project), "HOME": str(self.folder)}
        environment |= {**variables, **self._environment}
        log = self.folder / f"{name}.log"
        if self.forked:
            python, option, module, *arguments = command
            assert (python, option) == ("python", "-m")
            process = run_forked(module, arguments, self.folder, environment)
            log.write_text(process.stdout + process.stderr)
        else:
            with log.open("w") as stream:
                process = subprocess.run(
                    command, cwd=self.folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, text=True
                )
        if process.returncode:
            raise EngineError(f"{name} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
        return command


def _local(uri: str, disk: Path) -> Path:
    return disk / "s3" / uri.removeprefix(S3).lstrip("/")


def _property(value: Any, name: str) -> Any:
    """Returns a property in the form of ML Metadata (`StructValueToMLMDValue`)."""
    if value is None:
        raise EngineError(f"{name}: Kubeflow Pipelines cannot record a property without a value")
    return {"list": value} if isinstance(value, list) else {"struct": value} if isinstance(value, dict) else value


def _on_disk(disk: Path, artifact: dict[str, Any]) -> dict[str, Any]:
    """Returns an artifact as a step gets it, with a custom path, because a test may not write to `/s3`."""
    return {
        **artifact,
        **({"customPath": str(_local(artifact["uri"], disk))} if artifact["uri"].startswith(S3) else {}),
    }
