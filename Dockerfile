# syntax=docker/dockerfile:1
# The image that every step of the pipeline runs in, on Kubeflow and Vertex AI. TensorFlow Transform's and ML Metadata's
# wheels are for x86-64, so on another machine say for which platform it is:
#
#     docker build --platform linux/amd64 --tag REGISTRY/recommender:1 .          GPU: --build-arg GPU=1
#     docker build --platform linux/amd64 --target beam-worker --tag REGISTRY/recommender-worker:1 .    for Dataflow
#
# `make image-test` builds it and runs the sample pipeline in it.

ARG BASE=python:3.11-slim-trixie

# The environment is made as `make setup` makes it, without the tools of development.
FROM ${BASE} AS environment
WORKDIR /app
COPY pyproject.toml uv.lock ./
COPY setup setup
ARG GPU=
# A sixth of all is of no use here: headers of C++, the tests of libraries, the C++ compiler's library and uv.
RUN PYTHON=python3 SETUP_GROUPS="--no-default-groups --group setup${GPU:+ --group gpu}" sh setup/bootstrap.sh \
    && cd .venv/lib/python3.*/site-packages && rm -rf tensorflow/include pyarrow/include clang/native && cd /app \
    && rm .venv/bin/uv \
    && find .venv -type d -name tests -prune -exec rm -rf {} +

FROM ${BASE} AS project
RUN useradd --create-home --uid 1000 recommender
WORKDIR /app
COPY --from=environment /app/.venv .venv
COPY local_runner.py kubeflow_runner.py ./
COPY on_device on_device
COPY data data
COPY configs configs
COPY components components
COPY pipeline pipeline
COPY cluster cluster
COPY lineage lineage
COPY report report
# A checkout may be readable by its owner only; runs write into these folders. The modules that every step imports are
# compiled now: the steps' user cannot write beside them, and would compile them anew in every container.
RUN chmod -R a+rX local_runner.py kubeflow_runner.py on_device data configs components pipeline cluster lineage report \
    && install -d -o recommender output serving_models \
    && PYTHONPATH=/app .venv/bin/python -c "import cluster.container, cluster.notify, pipeline.pipeline, report.on_cluster" \
    && find .venv -path "*/google/cloud/*" -name __pycache__ -prune -exec rm -rf {} +
# GKE mounts the driver's libraries here, and TensorFlow would run on the processor without them.
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64
# By number: of a name Kubernetes cannot tell whether it is root, and Kubeflow lets nobody run as root.
USER 1000

# Dataflow starts its workers with Beam's own program; the version is that of uv.lock.
FROM project AS beam-worker
COPY --from=apache/beam_python3.11_sdk:2.77.0 /opt/apache/beam /opt/apache/beam
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
ENTRYPOINT ["/opt/apache/beam/boot"]

FROM project AS recommender
CMD ["python", "local_runner.py", "--help"]
