#!/bin/sh
# Creates the environment .venv: finds a Python, installs uv and with it the locked dependencies, and patches two
# modules for an old C library. Does nothing if the environment is up to date. If only the lock file or pyproject.toml
# changed, the environment is updated in place.
#
#     sh setup/bootstrap.sh        PYTHON=/path/to/python overrides the search
#                                  SETUP_GROUPS: options of uv sync that select dependency groups, for an image
#                                  SETUP_PATCH=no fails instead of changing an installed package (docs/install.md)
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/.ready # two checksums: of the folder and the Python, and of the files that define the environment
LOCK=.venv.lock
LOG=setup.log

fail() {
    echo "error: $*" >&2
    exit 1
}

# Returns whether installed packages may be changed so that they load on this machine.
may_patch() {
    [ "${SETUP_PATCH:-yes}" != no ]
}

# Prints the version of a Python, such as "3.11", and the modules it lacks; nothing if it does not run.
probe() {
    "$1" -c '
import sys
what = "%d.%d" % sys.version_info[:2]
if sys.version_info >= (3, 10):
    import importlib.util
    import sysconfig
    if sys.implementation.name != "cpython":
        what += " of " + sys.implementation.name
    elif sysconfig.get_config_var("Py_GIL_DISABLED"):
        what += " free-threaded"
    for module in ("_bz2", "_ctypes", "_ssl", "zlib"):
        if not importlib.util.find_spec(module):
            what += " without " + module.strip("_")
print(what)' 2>/dev/null || true
}

fits() {
    case $1 in
        3.10 | 3.11 | 3.12 | 3.13) return 0 ;;
        *) return 1 ;;
    esac
}

# Prints an identity of an installed Python, which environments created with it share.
identity() {
    "$1" -Ic 'import os, sys; print(sys.version.split()[0], os.path.realpath(sys.base_prefix))' 2>/dev/null
}

# Creates an environment with the best Python that can create one.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        version=$(probe "$PYTHON")
        [ -n "$version" ] || fail "PYTHON=$PYTHON does not run; give the path of a Python of 3.10 to 3.13"
        fits "$version" || fail "PYTHON=$PYTHON is Python $version; 3.10 to 3.13 is needed"
        make_environment "$PYTHON" && return
        fail "$PYTHON cannot make a virtual environment; install its venv module (apt install python3-venv)"
    fi
    found="" unable=""
    pyenv=${PYENV_ROOT:-${HOME:-}/.pyenv}/versions
    # A shim of pyenv may not run although its Python does.
    for python in python3.11 python3.12 python3.13 python3.10 python3 python \
        "$pyenv"/3.11.*/bin/python "$pyenv"/3.12.*/bin/python "$pyenv"/3.13.*/bin/python "$pyenv"/3.10.*/bin/python; do
        version=$(probe "$python")
        if fits "$version"; then
            make_environment "$python" && return
            unable=${unable:-$python}
        elif [ -n "$version" ]; then
            case ", $found, " in
                *", $version, "*) ;;
                *) found="${found:+$found, }$version" ;;
            esac
        fi
    done
    [ -z "$unable" ] ||
        fail "$unable cannot make a virtual environment; install its venv module (apt install python3-venv)"
    install="install one (apt install python3 python3-venv, or pyenv install 3.11)"
    [ -z "$found" ] || fail "no Python of 3.10 to 3.13, only $found; $install"
    fail "no Python of 3.10 to 3.13 found; $install"
}

# Makes a second set-up wait. The shell holds the lock until it ends.
lock() {
    exec 9>"$LOCK"
    "$1" -c '
import fcntl
import sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Waiting for another running set-up", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass  # some network file systems do not support locks
' || exit 1
}

place() {
    { identity "$VENV/bin/python"; pwd -P; } | cksum
}

files() {
    cat uv.lock pyproject.toml setup/*.sh setup/*.py | cksum
}

in_place() {
    [ -f "$STAMP" ] && [ "$(head -n 1 "$STAMP")" = "$(place)" ] &&
        { [ -z "${PYTHON:-}" ] || [ "$(identity "$PYTHON")" = "$(identity "$VENV/bin/python")" ]; }
}

ready() {
    in_place && [ "$(tail -n 1 "$STAMP")" = "$(files)" ]
}

# Prints uv's options for this machine, or fails if the dependencies cannot run on it.
platform_options() {
    case $(uname -sm) in
        "Linux x86_64") ;;
        "Linux "*) fail "TFX's libraries have no wheels for Linux on $(uname -m); build an image with" \
            "docker build --platform linux/amd64" ;;
        *) return 0 ;;
    esac
    glibc=$("$1" -Ic 'import platform; print("".join(platform.libc_ver()))')
    case $glibc in
        glibc2.*) minor=${glibc#glibc2.} minor=${minor%%.*} ;;
        *) fail "the dependencies need the C library glibc, which this Linux lacks; use Debian, Ubuntu or Fedora, for example" ;;
    esac
    [ "$minor" -ge 34 ] || fail "glibc 2.$minor is too old for the dependencies; 2.34 is needed (Debian 12, Ubuntu 22.04)"
    if [ "$minor" -lt 39 ]; then
        may_patch || fail "ml-metadata and tensorflow-data-validation need glibc 2.39, this Linux has 2.$minor, and" \
            "SETUP_PATCH=no does not allow patching them; use a newer Linux, or the image (docs/install.md)"
        echo "Patching two packages built for glibc 2.39 so that they load on 2.$minor (docs/install.md; SETUP_PATCH=no prevents it)" >&2
        echo "--python-platform x86_64-manylinux_2_40"
    fi
}

# Creates an empty environment and the log; fails if this Python cannot create an environment.
make_environment() {
    lock "$1"
    ready && exit 0
    : >"$LOG"
    if in_place; then
        rm -f "$STAMP" # an interrupted set-up starts from the beginning
        return
    fi
    rm -f "$STAMP"
    echo "Setting up the environment with Python $(probe "$1"), which takes a few minutes" >&2
    "$1" -m venv --clear "$VENV" >>"$LOG" 2>&1 && return
    # Debian's python3 has no ensurepip, but a pip outside the environment can install pip into it.
    "$1" -m venv --clear --without-pip "$VENV" >>"$LOG" 2>&1 &&
        "$1" -m pip --python "$VENV/bin/python" install --quiet pip >>"$LOG" 2>&1 && return
    rm -rf "$VENV"
    return 1
}

# Prints the most informative line of the log.
reason() {
    { grep -E '^ *(error:|ERROR:|×)' "$LOG" || tail -n 1 "$LOG"; } | sed -e 's/^ *[A-Za-z]*: *//' -e 's/^ *× *//' -e q
}

install_dependencies() {
    options=$(platform_options "$VENV/bin/python") || exit 1
    uv=$(sed -n 's/.*"\(uv==[^"]*\)".*/\1/p' pyproject.toml)
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$uv" >>"$LOG" 2>&1 ||
        fail "$uv could not be installed; check the network: $(reason) (full log: $LOG)"
    echo "Installing the locked dependencies" >&2
    # shellcheck disable=SC2086
    UV_PROJECT_ENVIRONMENT=$VENV "$VENV/bin/uv" sync --frozen ${SETUP_GROUPS:---all-groups --no-group gpu --no-group docs} --no-progress \
        --python "$VENV/bin/python" $options >>"$LOG" 2>&1 ||
        fail "the dependencies could not be installed; check the network: $(reason) (full log: $LOG)"
    "$VENV/bin/python" setup/patch_glibc.py "$VENV" >>"$LOG" || exit 1
    if ! "$VENV/bin/python" -c "import farmhash" 2>/dev/null; then
        may_patch || fail "pyfarmhash has no wheel for this machine, and SETUP_PATCH=no does not allow a replacement; use" \
            "Python 3.11 or newer on Linux, or the image (docs/install.md)"
        echo "Replacing pyfarmhash, which has no wheel for this machine (docs/install.md; SETUP_PATCH=no prevents it)" >&2
        cp setup/farmhash.py "$VENV"/lib/python3.*/site-packages/
    fi
}

ready && exit 0
if in_place; then
    make_environment "$VENV/bin/python"
else
    find_python
fi
install_dependencies
rm -f "$LOG"
{ place; files; } >"$STAMP"
