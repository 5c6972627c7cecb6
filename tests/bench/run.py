#!/usr/bin/env python3
"""Runs the benchmarks, and says which targets are met.

    tests/bench/run.py [--quick] [--only P4,P5,Y1] [--document]

Read the ratios, not the digits: both sides of a ratio were measured in the same run, taking turns. What is printed is
also written, as JSON with every sample, to build/bench/results.json; --document makes the charts and the tables of the
documents from that. The exit code says whether the benchmarks ran, not whether the targets are met.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import documents
from machine import processor
from profile_calls import profile
from report import Table, tables
from rich.console import Console
from rich.table import Table as RichTable
from targets import Results, judge

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PROGRAM = "tests/bench/native_bench"

# In order; each gives the number of repetitions and the scale of a full run, and what a quick one takes of both.
NATIVE = [f"P{number}" for number in range(1, 12)] + ["pieces", "peers", "durability", "compression", "churn", "wal"]
PYTHON = [f"Y{number}" for number in range(1, 8)] + ["python-peers", "sizes"]
COUNTED = ["profile"]
REPETITIONS = {"Y6": 3, "Y7": 15, "sizes": 5}
WITH_TARGET = {"files": ["churn", "wal"]}


def revision() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def environment() -> dict:
    packages = {}
    for name in ("pydantic", "diskcache", "cachetools", "pysciqlop-cache", "cashews", "moka-py", "lmdb", "redis"):
        try:
            packages[name] = version(name)
        except ImportError:
            packages[name] = "not installed"
    for name, command in (("SQLite", ["sqlite3", "--version"]), ("redis-server", ["redis-server", "--version"])):
        if shutil.which(command[0]):
            packages[name] = subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0][:40]
    for name in ("lmdb", "rocksdb"):
        done = subprocess.run(["pkg-config", "--modversion", name], capture_output=True, text=True)
        packages[f"{name}, native"] = done.stdout.strip() or "not installed"
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "machine": {
            "processor": processor(),
            "processors": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "load before": os.getloadavg()[0],
        },
        "versions": packages,
    }


def measure(command: list[str], case: str, into: dict) -> None:
    """Adds what the command prints as JSON. A case that fails is said in the tables, and fails the whole at the end."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        into["unavailable"][case] = into["failed"][case] = reason
        print(done.stderr, file=sys.stderr, end="")
        return
    part = json.loads(done.stdout)
    for group in ("series", "facts", "unavailable"):
        into[group].update(part[group])


def run_all(build: Path, folder: Path, chosen: list[str], repetitions: int, scale: float) -> dict:
    into: dict = {"series": {}, "facts": {}, "unavailable": {}, "failed": {}}
    for case in chosen:
        rounds = max(3, min(repetitions, REPETITIONS.get(case, repetitions)))
        place = Path(tempfile.mkdtemp(dir=folder))
        began = time.monotonic()
        if case in NATIVE:
            command = [
                build / PROGRAM,
                f"--directory={place}",
                f"--repetitions={rounds}",
                f"--scale={scale}",
                f"--only={case}",
            ]
        else:
            command = [sys.executable, HERE / "python" / "main.py", case, place, rounds, scale]
        # What P7 filled, P9 opens.
        if case == "P9" and (folder / "many").exists():
            shutil.rmtree(place)
            place = folder / "many"
            command[1] = f"--directory={place}"
        if case == "profile":
            profile(build, into)
        else:
            measure([str(word) for word in command], case, into)
        if case == "P7" and "P9" in chosen:
            place.rename(folder / "many")
        else:
            shutil.rmtree(place)
        print(f"   {case:14} {time.monotonic() - began:5.1f} s", file=sys.stderr, flush=True)
    return into


def show(table: Table, console: Console) -> None:
    shown = RichTable(title=table.title, title_justify="left", title_style="bold")
    for index, name in enumerate(table.columns):
        shown.add_column(name, justify="left" if index == 0 or table.name in ("targets", "files") else "right")
    for row in table.rows:
        style = (
            {"met": "green", "missed": "red", "not": "yellow"}.get(row[-1].split(" ")[0])
            if table.name == "targets"
            else None
        )
        shown.add_row(*row, style=style)
    console.print(shown)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="where meson builds")
    parser.add_argument("--output", type=Path, default=ROOT / "build/bench/results.json", help="where the JSON goes")
    parser.add_argument("--directory", help="the folder to measure in (default: the system's temporary one)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter: two minutes, for development")
    parser.add_argument("--only", default="", help="what to run, with commas: " + ", ".join(NATIVE + PYTHON + COUNTED))
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--scale", type=float)
    parser.add_argument("--show", action="store_true", help="measure nothing: show what the JSON has")
    parser.add_argument("--document", action="store_true", help="make the charts and the tables of the documents")
    arguments = parser.parse_args()

    only = {name for name in arguments.only.split(",") if name}
    wanted = {case for name in only for case in WITH_TARGET.get(name, [name])}
    if unknown := wanted - set(NATIVE + PYTHON + COUNTED):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    chosen = [case for case in NATIVE + PYTHON + COUNTED if not wanted or case in wanted]

    if not arguments.show:
        subprocess.run(["ninja", "-C", str(arguments.build), "--quiet", PROGRAM], check=True)
        start = time.monotonic()
        document = environment()
        with tempfile.TemporaryDirectory(prefix="dbc-bench-", dir=arguments.directory) as folder:
            repetitions = arguments.repetitions or (3 if arguments.quick else 7)
            scale = arguments.scale or (0.1 if arguments.quick else 1.0)
            document["settings"] = {"repetitions": repetitions, "scale": scale, "only": sorted(only)}
            document.update(run_all(arguments.build, Path(folder), chosen, repetitions, scale))
        document["seconds"] = round(time.monotonic() - start, 1)
        results = Results(document)
        document["targets"] = [
            {
                "target": verdict.target.name,
                "what": verdict.part.what,
                "limit": verdict.part.limit,
                "unit": verdict.part.unit,
                "at_least": verdict.part.at_least,
                "value": verdict.value,
                "verdict": verdict.text(),
            }
            for verdict in judge(results, only)
        ]
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    document = json.loads(arguments.output.read_text())
    results = Results(document)

    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in tables(results, only):
        show(table, console)
    machine = document["machine"]
    verdicts = judge(results, only)
    console.print(
        f"{machine['processor']}, {machine['processors']} processors, {machine['system']}, Python {machine['python']}; "
        f"{document['date']}, {document['revision']}, {document['seconds']} s"
    )
    print(f"{sum(v.met is True for v in verdicts)} of {len(verdicts)} met; all samples are in {arguments.output}")
    if arguments.document:
        documents.write(ROOT, results)
    if document["failed"]:
        print(f"could not be run: {', '.join(document['failed'])}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
