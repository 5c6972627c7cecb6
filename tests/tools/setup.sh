#!/usr/bin/env bash
# Installs what the build and the tests need and the machine lacks; where nothing is missing it does nothing, fast.
#
#   tests/tools/setup.sh core     compilers, meson, SQLite, xxHash, zstd, GoogleTest, JSON, the sqlite3 shell
#   tests/tools/setup.sh python   also a virtual environment in build/venv with the packages of the tests
#   tests/tools/setup.sh fuzz     as core, and clang with libFuzzer
#   tests/tools/setup.sh binding  also the Python binding in it, again whenever its sources or the core's have changed
#   tests/tools/setup.sh rust     a Rust toolchain alone (setup_rust.sh)
#   tests/tools/setup.sh go       a Go toolchain alone (setup_go.sh)
set -euo pipefail
cd "$(dirname "$0")/../.."

wanted=${1:-core}
[ "$wanted" != rust ] || exec tests/tools/setup_rust.sh
[ "$wanted" != go ] || exec tests/tools/setup_go.sh
venv=build/venv
requirements=tests/python-requirements.txt

say() { printf '== %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# ---- Debian packages: asked for by what they bring, so that other ways of having it count as well.
missing=()
need() {  # need PACKAGE COMMAND...: the package, unless the command succeeds
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
have_module() { python3 -c "import $1"; }
have_python_headers() {
    python3 -c 'import os, sysconfig; raise SystemExit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}
have_libfuzzer() { test -e "$(clang++-14 -print-file-name=libclang_rt.fuzzer-"$(uname -m)".a)"; }
list_missing() {
    missing=()
    need g++ command -v c++
    need gcc command -v cc
    need binutils command -v readelf
    need ninja-build command -v ninja
    need pkg-config command -v pkg-config
    need libsqlite3-dev pkg-config --exists sqlite3
    need libxxhash-dev pkg-config --exists libxxhash
    need libzstd-dev pkg-config --exists libzstd
    need libgtest-dev pkg-config --exists gtest_main
    need nlohmann-json3-dev pkg-config --exists nlohmann_json
    need sqlite3 command -v sqlite3
    need python3 command -v python3
    need meson command -v meson
    # A python3 that is not the distribution's brings its own of both, or not at all: then apt cannot help.
    need python3-venv have_module ensurepip
    need python3-dev have_python_headers
    if [ "$wanted" = fuzz ]; then
        need clang-14 command -v clang++-14
        need libclang-rt-14-dev have_libfuzzer
    fi
}

list_missing
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "missing, by their names in Debian: ${missing[*]}; install them and try again"
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "missing: ${missing[*]}; as root: apt-get install ${missing[*]}"
        as_root=(sudo)
        say "sudo is asked for, to install with apt-get: ${missing[*]}"
    fi
    say "installing ${missing[*]} (needed to build and test)"
    "${as_root[@]}" apt-get update -q >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
    hash -r
    list_missing
    [ ${#missing[@]} -eq 0 ] || fail "still missing after installing: ${missing[*]} (python3 is $(command -v python3))"
fi

echo 'int main() { auto f = []<typename T>(T x) { return x; }; return f(0); }' |
    c++ -std=c++20 -x c++ -fsyntax-only - 2>/dev/null || fail "c++ does not know C++20: GCC 10 or clang 12 is the least"

meson_is_old() { ! meson --version | python3 -c 'raise SystemExit(int(input().split(".")[0]) < 1)'; }
if { [ "$wanted" = core ] || [ "$wanted" = fuzz ]; } && ! meson_is_old; then exit 0; fi

# ---- The virtual environment. The stamp says from which requirements and which python3 it was made.
stamp=$(cat "$requirements" - <<<"$(python3 -c 'import sys; print(sys.version, sys.base_prefix)')" | sha256sum | cut -c 1-16)
if [ ! -e "$venv/.made-$stamp" ]; then
    say "making $venv with $(python3 --version)"
    rm -rf "$venv"
    mkdir -p build
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check -r "$requirements" >&2
    if meson_is_old; then
        say "meson $(meson --version) is too old; installing a newer one into $venv"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check 'meson>=1.0' >&2
    fi
    touch "$venv/.made-$stamp"
fi
[ "$wanted" = binding ] || exit 0

# ---- The binding.
stamp=$(find bindings/python include src \( -name build -o -name dist -o -name '*.egg-info' -o -name __pycache__ \) -prune \
    -o -type f ! -name '*.so' -print | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -c 1-16)
if [ ! -e "$venv/.binding-$stamp" ]; then
    say "installing the Python binding into $venv (compiles the core; a minute or two)"
    # What an earlier build left could hide a file that is gone.
    rm -rf bindings/python/build bindings/python/src/*.egg-info "$venv"/.binding-*
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall \
        ./bindings/python >&2
    touch "$venv/.binding-$stamp"
fi
