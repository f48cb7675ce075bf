"""Beam's runner for Flink, with one job server for a whole run."""

from __future__ import annotations

import logging

from apache_beam.options.pipeline_options import FlinkRunnerOptions, JobServerOptions, PipelineOptions
from apache_beam.runners.portability import flink_runner
from apache_beam.runners.portability.job_server import JobServer, StopOnExitJobServer

_servers: dict[str, JobServer] = {}

# It warns of every server that it stops.
logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)


class FlinkRunner(flink_runner.FlinkRunner):
    """Beam's own starts a job server for each step, and lets them all run until this process ends."""

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """The job server that an earlier step with the same options started, or a new one."""
        of_server = [options.view_as(kind).get_all_options() for kind in (FlinkRunnerOptions, JobServerOptions)]
        key = repr([of_server[0]["flink_master"], of_server[0]["flink_job_server_jar"], of_server[1]])
        if key not in _servers:
            _servers[key] = StopOnExitJobServer(flink_runner.FlinkJarJobServer(options))
        return _servers[key]


def stop_job_servers() -> None:
    """End the job servers that steps of this process started; without it they end with the process."""
    while _servers:
        _servers.popitem()[1].stop()
