#!/usr/bin/env bash
# Runs the tests of the C API under valgrind, each in the process that it forks for itself: valgrind.sh BUILD_FOLDER
# It sees what the sanitizers do not: the compiled code as it ships, and what SQLite does with our memory.
set -euo pipefail
build=$(realpath "$1")
export DBC_LIBRARY=$build/src/libdbc.so  # dlopen_test opens it
export CHECK_SECONDS=1800
suppressions=$(realpath "$(dirname "$0")")/valgrind.supp

if ! command -v valgrind >/dev/null; then
    echo "valgrind is missing (Debian: apt-get install valgrind)" >&2
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failed=0
for program in "$build"/tests/api/*_test; do
    name=$(basename "$program" _test)
    printf '== %s\n' "$name"
    leaks=(--leak-check=full --errors-for-leak-kinds=definite,possible)
    case $name in
    # Processes of these end in the middle of it, with handles open and threads at work.
    hostile | log | unshared | write_behind)
        leaks=(--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --suppressions="$suppressions")
        ;;
    # In a child of a process with threads, what these had on their stacks is lost.
    processes) leaks=(--leak-check=no) ;;
    esac
    valgrind --quiet --error-exitcode=99 "${leaks[@]}" "$program" || failed=1
done
[ "$failed" -eq 0 ] && echo "valgrind found nothing"
exit "$failed"
