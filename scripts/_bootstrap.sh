#!/usr/bin/env bash
# Sourced by the other scripts, never run: makes the virtual environment of this checkout once.
#
#   bootstrap   creates or refreshes $VENV, and returns at once if nothing has changed
#
# Needs Python 3.11 or later with its venv module, and git. Two scripts may bootstrap at the same
# time: one works, the other waits. Nothing is retried; the first error ends the script.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
export ROOT VENV

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# A version manager may leave a command that only prints an error, so each candidate is run.
find_python() {
    local candidate
    for candidate in "${MEDQUORUM_PYTHON:-}" python3.11 python3.12 python3 python; do
        if [ -n "$candidate" ] && "$candidate" -c \
            'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    die "Python 3.11 or later was not found. Install it, or set MEDQUORUM_PYTHON to its path."
}

digest() { (cd "$ROOT" && printf '%s\n' "$ROOT" | cat - "$@" | sha256sum | cut -d ' ' -f 1); }

stamped() { [ "$(cat "$VENV/$1" 2>/dev/null)" = "$2" ]; }

# uv is about ten times faster; pip is what every machine has.
install_packages() {
    if command -v uv >/dev/null; then
        uv pip install --quiet --python "$VENV/bin/python" "$@"
    else
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    fi
}

bootstrap() {
    local dependencies projects python lock
    # Who made it a link shares an environment: to clear it, or to install into it, is not ours.
    if [ -L "$VENV" ]; then
        [ -x "$VENV/bin/python" ] || die "$VENV is a link to no virtual environment."
        return
    fi
    dependencies="$(digest requirements-dev.lock)"
    projects="$(digest requirements-dev.lock pyproject.toml sdk/python/pyproject.toml)"
    stamped .stamp-projects "$projects" && return

    command -v flock >/dev/null || die "flock (package util-linux) was not found."
    exec {lock}>"$ROOT/.venv.lock"
    flock "$lock"
    if ! stamped .stamp-dependencies "$dependencies"; then
        python="$(find_python)"
        say "Creating .venv with $("$python" --version) and the locked dependencies ..."
        "$python" -m venv --clear "$VENV" || die "$python has no working venv module."
        install_packages --require-hashes -r "$ROOT/requirements-dev.lock"
        printf '%s\n' "$dependencies" >"$VENV/.stamp-dependencies"
    fi
    if ! stamped .stamp-projects "$projects"; then
        say "Installing medquorum and medquorum-node from this checkout ..."
        install_packages --no-deps --no-build-isolation -e "$ROOT/sdk/python" -e "$ROOT"
        printf '%s\n' "$projects" >"$VENV/.stamp-projects"
    fi
    exec {lock}>&-
}
