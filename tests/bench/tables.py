#!/usr/bin/env python3
"""Fills the tables of docs/benchmarks.md from what the benchmarks of the languages have measured.

    tests/bench/tables.py [FILE.json ...]     (default: rust.json and go.json in build/bench, those that are there)

Each file is what one language's benchmarks wrote, in one run:

    {"language": "rust", "about": "the date, the machine, versions: one line",
     "rows": [{"operation": "get from memory", "subject": "libdbc", "nanoseconds": 61.2}, ...]}

A table has a line for each operation and a column for each subject, in the order of their first rows. It comes between
<!-- bench rust --> and <!-- end -->; what is not named in the files stays as it is.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def duration(nanoseconds: float) -> str:
    """In microseconds, with three significant digits."""
    microseconds = nanoseconds / 1000
    return f"{microseconds:,.0f}" if microseconds >= 100 else f"{microseconds:.3g}"


def table(document: dict) -> str:
    operations = dict.fromkeys(row["operation"] for row in document["rows"])
    subjects = dict.fromkeys(row["subject"] for row in document["rows"])
    cells = {(row["operation"], row["subject"]): duration(row["nanoseconds"]) for row in document["rows"]}
    if len(cells) != len(document["rows"]):
        raise ValueError(f"{document['language']}: an operation was measured twice for one subject")
    lines = [["microseconds", *subjects], ["---", *("---:" for _ in subjects)]]
    lines += [[operation, *(cells.get((operation, subject), "") for subject in subjects)] for operation in operations]
    return document["about"] + "\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fill(text: str, document: dict) -> str:
    """The text with the document's table between its markers."""
    start, end = f"<!-- bench {document['language']} -->", "<!-- end -->"
    pattern = re.compile(f"{re.escape(start)}\n.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no place for {document['language']}: {start} is not there")
    return pattern.sub(lambda _: f"{start}\n{table(document)}\n{end}", text)


def main() -> int:
    given = [Path(name) for name in sys.argv[1:]]
    files = given or [path for path in (ROOT / "build/bench/rust.json", ROOT / "build/bench/go.json") if path.exists()]
    if not files:
        sys.exit("tables.py: nothing was measured yet; docs/benchmarks.md says how")
    text = DOCUMENT.read_text()
    for path in files:
        text = fill(text, json.loads(path.read_text()))
        print(f"{path}: in {DOCUMENT.relative_to(ROOT)}")
    DOCUMENT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
