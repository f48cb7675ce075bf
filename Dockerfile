# syntax=docker/dockerfile:1
# The image that every step of the pipeline runs in, on Kubeflow and Vertex AI:
#
#     docker build --tag REGISTRY/recommender:1 .                         GPU: --build-arg GPU=1
#     docker build --tag REGISTRY/recommender-worker:1 --target beam-worker .    for workers of Dataflow

# The environment is made as `make setup` makes it, without the tools of development.
FROM python:3.11-slim-trixie AS environment
WORKDIR /app
COPY pyproject.toml uv.lock ./
COPY setup setup
# Compiled now: the steps' user cannot write beside the modules, and would compile them anew in every container.
ENV UV_COMPILE_BYTECODE=1
RUN PYTHON=python3 SETUP_GROUPS="--no-default-groups --group setup" sh setup/bootstrap.sh
ARG GPU=
RUN if [ -n "$GPU" ]; then .venv/bin/uv pip install --python .venv/bin/python \
    "tensorflow[and-cuda]==$(.venv/bin/python -c 'from importlib.metadata import version; print(version("tensorflow"))')"; fi

FROM python:3.11-slim-trixie AS project
RUN useradd --create-home --uid 1000 recommender
WORKDIR /app
COPY --from=environment /app/.venv .venv
COPY local_runner.py kubeflow_runner.py ./
COPY on_device on_device
COPY data data
COPY configs configs
COPY components components
COPY pipeline pipeline
COPY lineage lineage
COPY report report
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1
# By number: of a name Kubernetes cannot tell whether it is root, and Kubeflow lets nobody run as root.
USER 1000

# Dataflow starts its workers with Beam's own program; the version is that of uv.lock.
FROM project AS beam-worker
COPY --from=apache/beam_python3.11_sdk:2.77.0 /opt/apache/beam /opt/apache/beam
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
ENTRYPOINT ["/opt/apache/beam/boot"]

FROM project AS recommender
CMD ["python", "local_runner.py", "--help"]
