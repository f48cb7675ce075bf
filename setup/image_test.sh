#!/bin/sh
# Builds the image with docker or buildah, and runs the sample pipeline in it as the steps' user. If no registry can be
# reached, builds a replacement of the base image from Debian's packages (needs debootstrap and root).
#
#     sh setup/image_test.sh [IMAGE]
set -eu
cd "$(dirname "$0")/.."

IMAGE=${1:-on-device-recommender:test}
BASE=python:3.11-slim-trixie
MAX_MEGABYTES=3000

fail() {
    echo "error: $*" >&2
    exit 1
}

# Docker, or buildah if there is no docker daemon.
if docker info > /dev/null 2>&1; then
    engine=docker
elif command -v buildah > /dev/null; then
    engine=buildah
else
    fail "found neither a docker daemon nor buildah; apt install buildah"
fi

# Builds a base image from Debian's packages, with the same release and a supported Python.
build_base() {
    command -v debootstrap > /dev/null || fail "$BASE cannot be pulled; apt install debootstrap to build a replacement"
    root=$(mktemp -d)
    echo "$BASE cannot be pulled: building a replacement from Debian's packages"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates trixie "$root" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" > "$root.log" 2>&1 || fail "debootstrap: $(tail -1 "$root.log")"
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root" / > /dev/null
    # A certificate of this machine's proxy, which reaching the package index may require.
    if [ -f "${SSL_CERT_FILE:-}" ]; then
        buildah add --quiet "$container" "$SSL_CERT_FILE" /etc/ssl/certs/ca-certificates.crt > /dev/null
        buildah config --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$container"
    fi
    buildah commit --quiet "$container" base-replacement > /dev/null
    buildah rm "$container" > /dev/null
    rm -rf "$root" "$root.log"
}

started=$(date +%s)
if [ $engine = docker ]; then
    docker build --platform linux/amd64 --tag "$IMAGE" .
else
    if buildah pull --quiet "docker.io/library/$BASE" > /dev/null 2>&1; then
        base=docker.io/library/$BASE
    elif buildah inspect --type image localhost/base-replacement > /dev/null 2>&1; then
        base=localhost/base-replacement
    else
        build_base
        base=localhost/base-replacement
    fi
    started=$(date +%s)
    # Only one stage, because unused stages would pull their bases. Without namespaces a container shares the host's.
    buildah bud --isolation "${BUILDAH_ISOLATION:-chroot}" --layers=false --target recommender --build-arg "BASE=$base" \
        --env "UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}" ${PIP_INDEX_URL:+--env "PIP_INDEX_URL=$PIP_INDEX_URL"} \
        --tag "$IMAGE" .
fi
echo "built in $(($(date +%s) - started)) s"

run() {
    if [ $engine = docker ]; then
        docker run --rm "$IMAGE" "$@"
    else
        container=$(buildah from --pull-never "$IMAGE")
        buildah run --isolation "${BUILDAH_ISOLATION:-chroot}" --user 1000 "$container" -- "$@" && code=0 || code=$?
        buildah rm "$container" > /dev/null
        return $code
    fi
}

megabytes=$(run du -xs --block-size=1000000 --exclude=/proc --exclude=/sys / 2> /dev/null | cut -f 1 || true)
echo "$megabytes MB"
[ "$megabytes" -le $MAX_MEGABYTES ] || fail "the image has $megabytes MB, more than $MAX_MEGABYTES MB"
run python local_runner.py --data data/sample --config configs/sample.yaml
echo "the image builds, and the sample pipeline runs in it"
