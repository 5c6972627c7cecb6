#!/usr/bin/env bash
# A Go toolchain for the Go binding: the one there is, or the distribution's, where one of them is recent enough (Go 1.21
# and later fetch what go.mod asks for by themselves). Else the suite is skipped, loudly; with CI=true that is an error.
set -euo pipefail
cd "$(dirname "$0")/../../bindings/go"

say() { printf '== %s\n' "$*" >&2; }
least=$(sed -n 's/^go //p' go.mod)
good() { go list -m >/dev/null 2>&1; }  # fails where go is missing or older than go.mod says

if good; then exit 0; fi

offered=$(apt-cache policy golang-go 2>/dev/null | sed -n 's/^ *Candidate: *[0-9]*:\{0,1\}\([0-9.]*\).*/\1/p' || true)
if [ -n "$offered" ] && [ "$(printf '%s\n' 1.21 "$offered" | sort -V | head -1)" = 1.21 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null && as_root=(sudo) && say "sudo is asked for, to install golang-go with apt-get"
    fi
    say "installing golang-go $offered (needed to test the Go binding)"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends golang-go >&2 || true
    hash -r
    if good; then exit 0; fi
fi

say "NO GO: the Go binding needs Go $least or later, and the distribution has ${offered:-none}; see https://go.dev/dl"
if [ "${CI:-}" = true ]; then exit 1; fi
say "its tests are skipped"
