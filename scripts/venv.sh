# Makes .venv in the checkout and installs ebpfvm into it with the extras named in $extras ("test,lint", or none).
# Sourced by demo.sh and test.sh; leaves the current folder at the checkout's root and sets $venv.
set -eu
cd "$(dirname "$0")/.."
venv=${EBPFVM_VENV:-.venv}

fail() {
    echo "$0: $*" >&2
    exit 1
}

fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 python3.14 /usr/bin/python3; do
        if fits "$python"; then return 0; fi
    done
    return 1
}

# Debian leaves the module `venv` unfinished until python3-venv is installed.
makes_venv() { find_python && "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; }

get_python() {
    makes_venv && return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv >/dev/null
        makes_venv && return 0
        python=/usr/bin/python3
        fits "$python" && "$python" -c 'import ensurepip, venv' && return 0
    fi
    fail "needs Python 3.11 or newer with the modules venv and ensurepip." \
        "On Debian and Ubuntu: sudo apt-get install python3-venv. Another interpreter can be named with PYTHON=..."
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    get_python
    "$python" -m venv --clear "$venv"
elif ! fits "$venv/bin/python"; then
    fail "$venv holds a Python older than 3.11; remove it, or name another folder with EBPFVM_VENV=..."
fi

# Installed again only when setup.cfg has changed since, so that a second run needs no network.
stamp="$venv/.ebpfvm-$extras"
if [ ! -e "$stamp" ] || [ setup.cfg -nt "$stamp" ]; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}" ||
        fail "pip could not install what setup.cfg names (the message is above)"
    touch "$stamp"
fi
