"""What calls do, counted: statements and pages of SQLite, system calls, instructions. Unlike times, they are the same
on every run of the same build. Where a tool counts the whole program, what it does besides the calls goes away by
subtracting a run with few of them from one with many."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

PROGRAM = "tests/bench/one_call"


def _run(program: Path, operation: str, calls: int, prefix: list[str]) -> str:
    with tempfile.TemporaryDirectory(prefix="dbc-profile-") as folder:
        command = [*prefix, str(program), operation, str(calls), folder]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _system_calls(program: Path, operation: str, calls: int) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(prefix="dbc-strace-") as report:
        _run(program, operation, calls, ["strace", "-f", "-c", "-o", report.name])
        counts = {}
        for line in Path(report.name).read_text().splitlines():
            columns = line.split()
            if len(columns) >= 5 and re.fullmatch(r"[\d.]+", columns[0]) and columns[-1] != "total":
                counts[columns[-1]] = int(columns[3])
        return counts


def _instructions(program: Path, operation: str, calls: int) -> int:
    counted = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=one_call_loop"]
    with tempfile.NamedTemporaryFile(prefix="dbc-callgrind-") as report:
        _run(program, operation, calls, [*counted, f"--callgrind-out-file={report.name}"])
        found = re.search(r"^(?:summary|totals): (\d+)", Path(report.name).read_text(), flags=re.MULTILINE)
        if not found:
            raise ValueError("callgrind wrote no totals")
        return int(found.group(1))


def profile(build: Path, into: dict) -> None:
    """Adds facts named "profile WHAT, OPERATION"."""
    subprocess.run(["ninja", "-C", str(build), "--quiet", PROGRAM], check=True)
    program = build / PROGRAM
    facts, unavailable = into["facts"], into["unavailable"]
    listed = _run(program, "list", 0, []).splitlines()
    for operation, items in (line.split("\t") for line in listed):
        few, many = (200, 1000) if items == "1" else (1, 4)
        each = (many - few) * int(items)
        counts = json.loads(_run(program, operation, many, []))
        for what, number in counts.items():
            facts[f"profile {what}, {operation}"] = number
        if shutil.which("strace"):
            first, second = (_system_calls(program, operation, calls) for calls in (few, many))
            differences = {name: (second[name] - first.get(name, 0)) / each for name in second}
            facts[f"profile system calls, {operation}"] = sum(differences.values())
            for name, number in differences.items():
                if number >= 0.05:
                    facts[f"profile system call {name}, {operation}"] = number
        else:
            unavailable["profile system calls"] = "strace is not there"
        if shutil.which("valgrind"):
            facts[f"profile instructions, {operation}"] = _instructions(program, operation, many) / (many * int(items))
        else:
            unavailable["profile instructions"] = "valgrind is not there"
