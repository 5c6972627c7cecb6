#!/usr/bin/env python3
"""Fills the tables of docs/benchmarks.md from what the benchmarks of Rust and Go have measured on this machine.

    tests/bench/tables.py [FILE.json ...]     (default: rust.json and go.json in build/bench, those that are there)

A table comes between <!-- bench rust --> and <!-- end -->, and so for Go. What was not measured stays as it is.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from machine import processor

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "benchmarks.md"


class Row(NamedTuple):
    operation: str
    library: str
    microseconds: float


def words(name: str) -> str:
    """MemoryHitInto: memory hit into."""
    return re.sub(r"(?<=.)([A-Z])", r" \1", name).lower()


def read(document: dict[str, Any]) -> tuple[str, list[Row]]:
    """The language of a file, and its rows: each language's benchmarks have a form of their own."""
    results = document["results"]
    if document.get("language") == "rust":
        return "rust", [Row(row["group"], row["name"], row["microseconds"]) for row in results]
    if "go" in document:
        return "go", [
            Row(words(row["what"]), row["with"].replace("_", " "), row["nanoseconds"] / 1000) for row in results
        ]
    raise ValueError("a file that neither Rust's nor Go's benchmarks have written")


def cost(microseconds: float) -> str:
    """Three significant digits, or whole microseconds."""
    return f"{microseconds:,.0f}" if microseconds >= 100 else f"{microseconds:#.3g}"


def table(rows: list[Row]) -> str:
    """Grouped by operation, which is named once; operations and libraries in the order of the file."""
    if len({row[:2] for row in rows}) != len(rows):
        raise ValueError("an operation was measured twice with one library")
    lines = ["| operation | with | microseconds |", "| --- | --- | ---: |"]
    for operation in dict.fromkeys(row.operation for row in rows):
        name = operation
        for row in rows:
            if row.operation == operation:
                lines.append(f"| {name} | {row.library} | {cost(row.microseconds)} |")
                name = ""
    return "\n".join(lines)


def fill(page: str, language: str, text: str) -> str:
    """The page with the text between the markers of that language."""
    start, end = f"<!-- bench {language} -->", "<!-- end -->"
    pattern = re.compile(f"{re.escape(start)}\n.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{DOCUMENT.name} has no {start}")
    return pattern.sub(lambda _: f"{start}\n{text}\n{end}", page)


def about(path: Path) -> str:
    day = datetime.date.fromtimestamp(path.stat().st_mtime)
    return f"Measured on {day}: {processor()}, {os.cpu_count()} processors, {platform.system()}."


def main() -> int:
    given = [Path(name) for name in sys.argv[1:]]
    files = given or [path for path in (ROOT / "build/bench/rust.json", ROOT / "build/bench/go.json") if path.exists()]
    if not files:
        sys.exit("tables.py: nothing was measured yet; docs/benchmarks.md says how")
    page = DOCUMENT.read_text()
    for path in files:
        language, rows = read(json.loads(path.read_text()))
        page = fill(page, language, f"{about(path)}\n\n{table(rows)}")
        print(f"{path}: {len(rows)} rows")
    DOCUMENT.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
