#!/usr/bin/env bash
# A Rust toolchain for the Rust binding: the one there is, or the distribution's, where one of them is recent enough. Else
# the suite is skipped, loudly; with CI=true that is an error.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf '== %s\n' "$*" >&2; }
least=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' bindings/rust/Cargo.toml)
recent() { [ -n "$1" ] && [ "$(printf '%s\n' "$least" "$1" | sort -V | head -n 1)" = "$least" ]; }
version_of_cargo() { cargo --version 2>/dev/null | cut -d ' ' -f 2 || true; }
# Not libclang-cpp, which other packages bring along.
have_libclang() {
    local names=(-name 'libclang[-.]*so*' ! -name 'libclang-cpp*')
    [ -n "$(find /usr/lib /usr/lib64 -maxdepth 3 -xtype f "${names[@]}" -print -quit 2>/dev/null)" ]
}
have_component() { cargo "$1" --version; }

missing=()
if ! recent "$(version_of_cargo)"; then
    candidate=$(apt-cache policy cargo 2>/dev/null | sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
    # Debian numbers cargo 0.x where rustc is 1.x, up to 0.66; all those are too old anyway.
    if recent "$candidate"; then missing+=(cargo rustc); fi
fi
if recent "$(version_of_cargo)" || [ ${#missing[@]} -gt 0 ]; then
    have_component clippy >/dev/null 2>&1 || missing+=(rust-clippy)
    have_component fmt >/dev/null 2>&1 || missing+=(rustfmt)
    have_libclang || missing+=(libclang-dev)
fi
if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    say "installing ${missing[*]} (needed to test the Rust binding)"
    "${as_root[@]}" apt-get update -q >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
    hash -r
fi

if ! recent "$(version_of_cargo)"; then
    if [ "${CI:-}" = true ]; then
        say "Rust $least or later is needed, and neither here nor in the distribution; see https://rustup.rs"
        exit 1
    fi
    say "SKIPPING Rust: cargo $least or later is neither here nor in the distribution; see https://rustup.rs"
fi
