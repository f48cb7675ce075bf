#!/bin/sh
# Makes the environment .venv: finds a Python, installs uv into it and the locked dependencies with uv, mends two
# modules where the C library is old. Does nothing where all that was done before; where only the lock or the
# project's file changed, the environment is brought up to date in place.
#
#     sh setup/bootstrap.sh        PYTHON=/path/to/python overrides the search
#                                  SETUP_GROUPS, options of uv sync, leaves out what an image has no use for
#                                  SETUP_PATCH=no fails rather than change an installed package (docs/install.md)
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/.ready # what the environment was made of, in two lines: its place and Python, then the files
LOCK=.venv.lock
LOG=setup.log

fail() {
    echo "error: $*" >&2
    exit 1
}

# Whether installed packages may be changed so that they load on this machine.
may_patch() {
    [ "${SETUP_PATCH:-yes}" != no ]
}

# Prints "3.11" for a Python that fits, more than that for one that does not, nothing where it does not run.
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

# Prints what tells one installed Python from another, the same for a Python and for an environment made of it.
identity() {
    "$1" -Ic 'import os, sys; print(sys.version.split()[0], os.path.realpath(sys.base_prefix))' 2>/dev/null
}

# Makes an environment with the first fitting Python that can, best first.
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
    # A shim of pyenv may refuse to run where the Python behind it does.
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

# Of two set-ups that start at once, one waits: the lock is the shell's and ends with it, however that ends.
lock() {
    exec 9>"$LOCK"
    "$1" -c '
import fcntl
import sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Waiting for the set-up that is running already", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass  # some network file systems have no locks
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

# Prints options of uv for this machine, or fails where the dependencies cannot run on it.
platform_options() {
    case $(uname -sm) in
        "Linux x86_64") ;;
        "Linux "*) fail "TFX's libraries have no wheels for Linux on $(uname -m); an image is built with" \
            "docker build --platform linux/amd64" ;;
        *) return 0 ;;
    esac
    glibc=$("$1" -Ic 'import platform; print("".join(platform.libc_ver()))')
    case $glibc in
        glibc2.*) minor=${glibc#glibc2.} minor=${minor%%.*} ;;
        *) fail "the dependencies need the C library glibc, which this Linux lacks; use Debian, Ubuntu, Fedora or the like" ;;
    esac
    [ "$minor" -ge 34 ] || fail "glibc 2.$minor is too old for the dependencies; 2.34 is needed (Debian 12, Ubuntu 22.04)"
    if [ "$minor" -lt 39 ]; then
        may_patch || fail "ml-metadata and tensorflow-data-validation need glibc 2.39, this Linux has 2.$minor, and" \
            "SETUP_PATCH=no forbids to change them; use a newer Linux, or the image (docs/install.md)"
        echo "Two packages built for glibc 2.39 are changed to load on 2.$minor (docs/install.md; SETUP_PATCH=no refuses)" >&2
        echo "--python-platform x86_64-manylinux_2_40"
    fi
}

# Leaves an environment that dependencies can be installed into, and the log open; fails where the Python makes none.
make_environment() {
    lock "$1"
    ready && exit 0
    : >"$LOG"
    if in_place; then
        rm -f "$STAMP" # an interrupted set-up is begun anew
        return
    fi
    rm -f "$STAMP"
    echo "Setting up the environment with Python $(probe "$1"), once: a minute or a few" >&2
    "$1" -m venv --clear "$VENV" >>"$LOG" 2>&1 && return
    # Debian's python3 comes without ensurepip; a pip outside can fill the environment too.
    "$1" -m venv --clear --without-pip "$VENV" >>"$LOG" 2>&1 &&
        "$1" -m pip --python "$VENV/bin/python" install --quiet pip >>"$LOG" 2>&1 && return
    rm -rf "$VENV"
    return 1
}

# Prints the line of the log that tells most.
reason() {
    { grep -E '^ *(error:|ERROR:|×)' "$LOG" || tail -n 1 "$LOG"; } | sed -e 's/^ *[A-Za-z]*: *//' -e 's/^ *× *//' -e q
}

install_dependencies() {
    options=$(platform_options "$VENV/bin/python") || exit 1
    uv=$(sed -n 's/.*"\(uv==[^"]*\)".*/\1/p' pyproject.toml)
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$uv" >>"$LOG" 2>&1 ||
        fail "$uv could not be installed; is there a network? $(reason) ($LOG has it all)"
    echo "Installing the locked dependencies" >&2
    # shellcheck disable=SC2086
    UV_PROJECT_ENVIRONMENT=$VENV "$VENV/bin/uv" sync --frozen ${SETUP_GROUPS:---all-groups --no-group gpu --no-group docs} --no-progress \
        --python "$VENV/bin/python" $options >>"$LOG" 2>&1 ||
        fail "the dependencies could not be installed; is there a network? $(reason) ($LOG has it all)"
    "$VENV/bin/python" setup/mend_glibc.py "$VENV" >>"$LOG" || exit 1
    if ! "$VENV/bin/python" -c "import farmhash" 2>/dev/null; then
        may_patch || fail "pyfarmhash has no wheel for this machine, and SETUP_PATCH=no forbids a module in its place; use" \
            "Python 3.11 or newer on Linux, or the image (docs/install.md)"
        echo "A module stands in for pyfarmhash, which has no wheel here (docs/install.md; SETUP_PATCH=no refuses)" >&2
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
