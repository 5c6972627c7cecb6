"""The tables of docs/benchmarks.md: made from the JSON that each language's benchmarks write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from tables import Row, cost, fill, read, table  # noqa: E402


def test_what_rust_writes() -> None:
    rows = [{"group": "memory hit", "name": "moka", "microseconds": 0.25}]
    assert read({"language": "rust", "results": rows}) == ("rust", [Row("memory hit", "moka", 0.25)])


def test_what_go_writes() -> None:
    rows = [{"what": "MemoryHitInto", "with": "map_and_RWMutex", "nanoseconds": 250.0, "allocations": 0, "samples": []}]
    expected = [Row("memory hit into", "map and RWMutex", 0.25)]
    assert read({"go": "go1.26", "processors": 2, "results": rows}) == ("go", expected)


def test_a_line_for_each_operation_with_each_library() -> None:
    rows = [Row("get", "libdbc", 0.06124), Row("put", "libdbc", 38.123), Row("get", "moka", 0.12)]
    assert table(rows) == (
        "| operation | with | microseconds |\n| --- | --- | ---: |\n"
        "| get | libdbc | 0.0612 |\n|  | moka | 0.120 |\n| put | libdbc | 38.1 |"
    )
    with pytest.raises(ValueError, match="measured twice"):
        table([rows[0], rows[0]])


def test_costs_have_three_digits() -> None:
    numbers = [0.001234, 1.0, 9.999, 99.94, 100.4, 12345.6]
    assert [cost(number) for number in numbers] == ["0.00123", "1.00", "10.0", "99.9", "100", "12,346"]


def test_a_table_replaces_the_one_before() -> None:
    page = "before\n<!-- bench rust -->\nold\n<!-- end -->\nbetween\n<!-- bench go -->\nold\n<!-- end -->\nafter\n"
    filled = fill(page, "rust", "new\nlines")
    assert filled == page.replace("rust -->\nold", "rust -->\nnew\nlines")
    assert fill(filled, "rust", "new\nlines") == filled
    with pytest.raises(ValueError, match="has no"):
        fill(page, "cobol", "new")


def test_the_page_has_a_place_for_each_language() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for language in ("rust", "go"):
        assert "\nnew\n" in fill(page, language, "new")


def test_a_file_of_somebody_else_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"results": []}')
    command = [sys.executable, str(ROOT / "tests" / "bench" / "tables.py"), str(path)]
    before = (ROOT / "docs" / "benchmarks.md").read_text()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "neither Rust's nor Go's" in done.stderr
    assert (ROOT / "docs" / "benchmarks.md").read_text() == before
