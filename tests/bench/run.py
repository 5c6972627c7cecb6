#!/usr/bin/env python3
"""Runs the benchmarks and prints what calls cost beside their floors.

    tests/bench/run.py [--build-dir build/release] [--output build/bench.json] [--scale 0.2]

Read the ratios, not the digits: both sides of a ratio were measured in the same run, taking turns.
"""

import argparse
import json
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

PROGRAM = "tests/bench/cache_bench"

# What is measured, and what it is held against.
ROWS = [
    ("get, in memory, copied", "floor: hash map find and copy"),
    ("get, in memory, unchanged", "floor: hash map find and copy"),
    ("get, on disk", "floor: SELECT"),
    ("get, on disk, and flush", "floor: SELECT and UPDATE of the time"),
    ("put, overwriting", "floor: upsert, overwriting"),
    ("put, fresh", "floor: upsert, fresh"),
    ("put_many, 1000 fresh, an item", "floor: upserts, 1000 fresh in a transaction, an item"),
    ("put into a full cache of 1 M", "put into a full cache of 10 k"),
]


def measure(program: str, directory: str | None, repetitions: int, scale: float) -> dict:
    with tempfile.TemporaryDirectory(prefix="dbc-bench-", dir=directory) as folder:
        command = [program, f"--directory={folder}", f"--repetitions={repetitions}", f"--scale={scale}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)["results"]


def table(results: dict) -> list[dict]:
    rows = []
    for name, floor in ROWS:
        cost, base = results[name]["median"], results[floor]["median"]
        rows.append(
            {"name": name, "microseconds": cost, "floor": floor, "floor_microseconds": base, "ratio": cost / base}
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build-dir", type=pathlib.Path, default="build/release", help="where meson builds")
    parser.add_argument("--program", help="a benchmark that is built already")
    parser.add_argument("--output", type=pathlib.Path, default="build/bench.json", help="where the JSON goes")
    parser.add_argument("--directory", help="the folder to measure in (default: the system's temporary one)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="how many calls to make: 0.1 for a quick look")
    arguments = parser.parse_args()

    if not arguments.program:
        subprocess.run(["ninja", "-C", str(arguments.build_dir), "--quiet", PROGRAM], check=True)
    program = arguments.program or str(arguments.build_dir / PROGRAM)
    start = time.monotonic()
    results = measure(program, arguments.directory, arguments.repetitions, arguments.scale)
    rows = table(results)

    width = max(len(row["name"]) for row in rows)
    print(f"{'':{width}}  {'us':>9}  {'floor us':>9}  {'ratio':>6}  floor")
    for row in rows:
        print(
            f"{row['name']:{width}}  {row['microseconds']:9.3f}  {row['floor_microseconds']:9.3f}  "
            f"{row['ratio']:6.2f}  {row['floor'].removeprefix('floor: ')}"
        )
    document = {
        "machine": {"system": platform.system(), "processor": platform.machine()},
        "settings": {"repetitions": arguments.repetitions, "scale": arguments.scale},
        "seconds": round(time.monotonic() - start, 1),
        "rows": rows,
        "results": results,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{document['seconds']} s; written to {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
