# Sourced by the other scripts: finds the repository and keeps its environment ready.
#
# The environment is $UNDERSTUDY_VENV, or .venv in the repository. It is made once from
# requirements-dev.txt (versions and hashes) by $PYTHON, or else by the first Python on the path
# that is new enough. A stamp inside it holds what it was made from; while that is unchanged,
# nothing is done.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
venv=${UNDERSTUDY_VENV:-$root/.venv}
oldest=3.11

fail() { # MESSAGE HINT
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 2
}

new_enough() { # INTERPRETER
    "$1" -c "import sys; sys.exit(sys.version_info < (${oldest/./, }))" 2>/dev/null
}

find_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python $oldest or newer" \
            "name one that is, or unset PYTHON"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python $oldest or newer found; python3 is $(python3 --version 2>/dev/null || echo missing)" \
        "install one, or name it: PYTHON=/path/to/python3 $0"
}

# Everything the environment depends on; the stamp is a copy of it.
ingredients() {
    printf '%s\n' "$root"
    cat requirements-dev.txt pyproject.toml
}

version_of() { # INTERPRETER
    "$1" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null
}

is_ready() {
    [[ -x $venv/bin/python ]] && ingredients | cmp -s - "$venv/.stamp" || return 1
    [[ -z ${PYTHON:-} ]] || [[ $(version_of "$PYTHON") == $(version_of "$venv/bin/python") ]]
}

# An environment that is merely out of date is kept, and what changed is installed into it.
is_usable() { # INTERPRETER
    [[ -x $venv/bin/python ]] && [[ $(version_of "$1") == $(version_of "$venv/bin/python") ]] &&
        "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

install() { # WHAT …
    "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --no-input "$@" </dev/null >&2 ||
        fail "could not install into $venv" "pip's reason stands above; a package index must be reachable"
}

make_environment() {
    local python
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv module" "on Debian and Ubuntu: apt install python3-venv"
    printf 'Setting up %s (once, about half a minute) …\n' "$venv" >&2
    is_usable "$python" || "$python" -m venv --clear "$venv"
    install --require-hashes --requirement requirements-dev.txt
    install --no-deps --no-build-isolation --editable .
    ingredients >"$venv/.stamp"
}

is_ready || make_environment
python=$venv/bin/python
