"""The tables of docs/benchmarks.md: made from the JSON that each language's benchmarks write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from tables import fill  # noqa: E402

PAGE = "before\n<!-- bench rust -->\nold\n<!-- end -->\nbetween\n<!-- bench go -->\nold\n<!-- end -->\nafter\n"


def measured(*rows: tuple[str, str, float]) -> dict[str, Any]:
    names = ("operation", "subject", "nanoseconds")
    return {"language": "rust", "about": "A machine.", "rows": [dict(zip(names, row)) for row in rows]}


def test_a_line_for_each_operation_and_a_column_for_each_subject() -> None:
    document = measured(
        ("get", "libdbc", 61.24), ("get", "moka", 120), ("put", "libdbc", 38_123), ("batch", "redb", 1.5e6)
    )
    table = (
        "A machine.\n\n| microseconds | libdbc | moka | redb |\n| --- | ---: | ---: | ---: |\n"
        "| get | 0.0612 | 0.12 |  |\n| put | 38.1 |  |  |\n| batch |  |  | 1,500 |"
    )
    filled = fill(PAGE, document)
    assert filled == PAGE.replace("rust -->\nold", f"rust -->\n{table}")
    assert fill(filled, document) == filled


def test_what_cannot_be_placed_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place for rust"):
        fill("no markers", measured(("get", "libdbc", 1)))
    with pytest.raises(ValueError, match="measured twice"):
        fill(PAGE, measured(("get", "libdbc", 1), ("get", "libdbc", 2)))


def test_the_page_has_a_place_for_each_language() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for language in ("rust", "go"):
        assert "| get | 0.001 |" in fill(page, {**measured(("get", "libdbc", 1)), "language": language})


def test_without_measurements_it_says_so(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    command = [sys.executable, str(ROOT / "tests" / "bench" / "tables.py"), str(missing)]
    assert subprocess.run(command, capture_output=True).returncode != 0
    missing.write_text(json.dumps({"language": "cobol", "about": "", "rows": []}))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "no place for cobol" in done.stderr
