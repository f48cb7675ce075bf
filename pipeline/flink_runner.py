"""Beam's runner for Flink, with one job server per run."""

from __future__ import annotations

import logging

from apache_beam.options.pipeline_options import FlinkRunnerOptions, JobServerOptions, PipelineOptions
from apache_beam.runners.portability import flink_runner
from apache_beam.runners.portability.job_server import JobServer, StopOnExitJobServer

_servers: dict[str, JobServer] = {}

# This logger warns about every server that it stops.
logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)


class FlinkRunner(flink_runner.FlinkRunner):
    """Runs steps on Flink and reuses the job server.

    Beam's own runner starts a job server for each step, and stops it only when the process ends.
    """

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """Returns the job server of an earlier step with the same options, or a new one."""
        flink = options.view_as(FlinkRunnerOptions)
        job_server = options.view_as(JobServerOptions).get_all_options()
        key = repr([flink.flink_master, flink.flink_job_server_jar, job_server])
        if key not in _servers:
            _servers[key] = StopOnExitJobServer(flink_runner.FlinkJarJobServer(options))
        return _servers[key]


def stop_job_servers() -> None:
    """Stops the job servers of this process; otherwise they stop when the process ends."""
    while _servers:
        _servers.popitem()[1].stop()
