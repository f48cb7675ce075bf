#!/bin/sh
# Makes the environment .venv: finds a Python, installs uv into it and the locked dependencies with uv, mends two
# modules where the C library is old. Does nothing where all that was done before.
#
#     sh setup/bootstrap.sh        PYTHON=/path/to/python overrides the search
set -eu
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9
VENV=.venv
STAMP=$VENV/.ready
LOCK=.venv.lock

fail() {
    echo "error: $*" >&2
    exit 1
}

# What the environment is made of; a change of it makes the environment anew.
state() {
    { cat uv.lock pyproject.toml setup/bootstrap.sh setup/mend_glibc.py; pwd; } | cksum
}

ready() {
    [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(state)" ] && "$VENV/bin/python" -c '' 2>/dev/null
}

# Prints a Python's "major.minor" if it runs.
version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        case "$(version_of "$PYTHON")" in
            3.10 | 3.11 | 3.12 | 3.13) echo "$PYTHON" ;;
            "") fail "PYTHON=$PYTHON does not run; give the path of a Python of 3.10 to 3.13" ;;
            *) fail "PYTHON=$PYTHON is Python $(version_of "$PYTHON"); 3.10 to 3.13 is needed" ;;
        esac
        return
    fi
    found=""
    for wanted in 3.11 3.12 3.13 3.10; do
        for candidate in "python$wanted" python3 python "${PYENV_ROOT:-$HOME/.pyenv}/versions/$wanted."*/bin/python; do
            version=$(version_of "$candidate")
            if [ "$version" = "$wanted" ]; then
                echo "$candidate"
                return
            fi
            case " $found " in
                *" $version "*) ;;
                *) found="$found $version" ;;
            esac
        done
    done
    if [ -n "$found" ]; then
        fail "no Python of 3.10 to 3.13, only$found; install one (apt install python3, or pyenv install 3.11)"
    fi
    fail "no Python found; install one of 3.10 to 3.13 (apt install python3, or pyenv install 3.11)"
}

make_environment() {
    python=$1
    if "$python" -m venv --clear "$VENV" >"$LOG" 2>&1; then
        return
    fi
    # Debian's python3 comes without ensurepip; a pip outside can fill the environment too.
    if "$python" -m venv --clear --without-pip "$VENV" >"$LOG" 2>&1 &&
        "$python" -m pip --python "$VENV/bin/python" install --quiet pip >>"$LOG" 2>&1; then
        return
    fi
    rm -rf "$VENV"
    fail "$python cannot make a virtual environment; install its venv module (apt install python3-venv)"
}

install_dependencies() {
    platform=""
    if [ "$(uname -sm)" = "Linux x86_64" ]; then
        # Wheels tagged for glibc 2.39 are taken on older ones too, and mended below.
        platform="--python-platform x86_64-manylinux_2_40"
    fi
    # shellcheck disable=SC2086
    VIRTUAL_ENV="$PWD/$VENV" "$VENV/bin/uv" sync --frozen --all-groups --inexact --active $platform >>"$LOG" 2>&1 ||
        fail "the dependencies could not be installed; see $LOG: $(grep -v '^ ' "$LOG" | tail -n 1)"
    "$VENV/bin/python" setup/mend_glibc.py "$VENV"
}

ready && exit 0

# Of two that start at once, one waits. Without flock, as on macOS, a folder is the lock.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$LOCK"
    flock 9
    ready && exit 0
fi

LOG=setup.log
python=$(find_python)
echo "Setting up the environment with Python $(version_of "$python"), once: a minute or two" >&2
rm -f "$STAMP"
make_environment "$python"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION" >>"$LOG" 2>&1 ||
    fail "uv $UV_VERSION could not be installed; see $LOG: $(tail -n 1 "$LOG")"
install_dependencies
rm -f "$LOG"
state >"$STAMP"
