#!/usr/bin/env bash
# Installs what the benchmarks are held against, into build/bench-venv and from Debian: nothing that the library or
# its tests need. What cannot be had is said and left out; the tables then say so too.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=build/bench-venv
base=build/venv

say() { printf '== %s\n' "$*" >&2; }

# ---- Debian packages, by what they bring.
missing=()
need() {  # need PACKAGE COMMAND...: the package, unless the command succeeds
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
have_header() { echo "#include <$1>" | c++ -x c++ -std=c++20 -fsyntax-only -; }
need liblmdb-dev have_header lmdb.h
need librocksdb-dev have_header rocksdb/db.h
need libleveldb-dev have_header leveldb/db.h
need redis-server command -v redis-server
need strace command -v strace
need valgrind command -v valgrind
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]} (peers of the benchmarks, and what counts)"
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    export DEBIAN_FRONTEND=noninteractive
    { command -v apt-get && "${as_root[@]}" apt-get update -q; } >/dev/null || say "no apt-get here"
    for package in "${missing[@]}"; do
        "${as_root[@]}" apt-get install -q -y --no-install-recommends "$package" >/dev/null ||
            say "$package cannot be installed; its row will be missing"
    done
fi

# ---- Python packages. The binding and what it needs are those of build/venv.
peers=(diskcache cachetools pysciqlop-cache 'cashews>=7' moka-py lmdb redis)
python=$("$base/bin/python" -c 'import sys; print(sys.version)')
stamp=$(printf '%s\n' "${peers[@]}" "$python" | sha256sum | cut -c 1-16)
if [ ! -e "$venv/.made-$stamp" ]; then
    say "making $venv: ${peers[*]}"
    rm -rf "$venv"
    "$base/bin/python" -m venv "$venv"
    "$base/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
    for package in "${peers[@]}"; do
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --only-binary :all: "$package" >&2 ||
            "$venv/bin/python" -m pip install -q --disable-pip-version-check "$package" >&2 ||
            say "$package cannot be installed; its rows will be missing"
    done
    touch "$venv/.made-$stamp"
fi
