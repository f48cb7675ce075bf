"""Builds the jar of Beam's job server for Flink with Maven: `make flink-jar`.

The jar is in the cache folder. Its name depends on the content of `setup/flink/pom.xml`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from on_device.command_line import command_line, default_cache_dir

POM = Path(__file__).parent.parent / "setup" / "flink" / "pom.xml"


class JarError(Exception):
    """The jar cannot be built. The message is one line."""


def jar_path() -> Path:
    """Returns the path of the jar, which may not exist yet."""
    version = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    return default_cache_dir() / f"flink-job-server-{version}.jar"


def make_jar(timeout: float | None = None) -> Path:
    """Builds the jar if it does not exist, and returns its path.

    Args:
        timeout: time limit for Maven in seconds; None for no limit.

    Raises:
        JarError: Java or Maven is missing, failed or exceeded the time limit.
    """
    jar = jar_path()
    if jar.is_file():
        return jar
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise JarError(f"{program} is not on PATH; install Java 17 and Maven (Debian: default-jdk-headless, maven)")
    jar.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jar.parent) as folder:
        command = ["mvn", "--batch-mode", "--quiet", f"--file={POM}", f"-Dfolder={folder}", "package"]
        try:
            done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout)
        except subprocess.TimeoutExpired:
            raise JarError(f"{' '.join(command)}: took more than {timeout:.0f} s") from None
        if done.returncode:
            lines = [line for line in done.stdout.splitlines() if "ERROR" in line] or ["failed"]
            raise JarError(f"{' '.join(command)}: {lines[0].removeprefix('[ERROR] ')}")
        os.replace(Path(folder) / "job-server.jar", jar)
    return jar


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Builds the jar, prints its path and returns the exit code."""
    argparse.ArgumentParser(prog="python -m pipeline.flink_jar", description=__doc__).parse_args(arguments)
    try:
        print(make_jar())
    except JarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
