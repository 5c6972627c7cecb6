#!/usr/bin/env bash
# Runs tests of the C API under valgrind, each in the process that it forks for itself: valgrind.sh BUILD_FOLDER
# It sees what the sanitizers do not: the compiled code as it ships, and what SQLite does with our memory.
set -euo pipefail
build=$(realpath "$1")

if ! command -v valgrind >/dev/null; then
    echo "valgrind is missing (Debian: apt-get install valgrind)" >&2
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failed=0
for name in items batch eviction ttl values keys stats bindings; do
    printf '== %s\n' "$name"
    valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,possible \
        "$build/tests/api/${name}_test" || failed=1
done
[ "$failed" -eq 0 ] && echo "valgrind found nothing"
exit "$failed"
