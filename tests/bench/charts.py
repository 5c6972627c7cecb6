"""The charts that the documents show."""

from __future__ import annotations

from collections.abc import Iterable

from svg import Dot, Line, dots, lines, ratio_label, time_label
from targets import Results, judge

OURS, PEER, FLOOR, GOOD, BAD = 0, 1, 2, 3, 4


def _calls(results: Results, rows: Iterable[tuple[str, str, int]], title: str, subtitle: str) -> str | None:
    """A row each for a label, a series and a colour; what was not measured has none."""
    made = [
        Dot(label, results.of(name), time_label(results.of(name)), colour, colour == OURS)
        for label, name, colour in rows
        if name in results.series
    ]
    return dots(title, subtitle, made) if made else None


def _python(results: Results, call: str, title: str) -> str | None:
    prefix = f"python peer {call}, "
    rows = [
        (name.removeprefix(prefix), name, OURS if name.startswith(f"{prefix}diskbackedcache") else PEER)
        for name in results.series
        if name.startswith(prefix)
    ]
    rows.sort(key=lambda row: results.of(row[1]))
    subtitle = "a call with a Pydantic object of 512 bytes, zipf over 10 000 keys; shorter is faster"
    return _calls(results, rows, title, subtitle)


def _native(results: Results) -> str | None:
    rows = (
        ("get from memory, no copy", "P1 get", OURS),
        ("a map's find and copy", "P1 map find and copy", FLOOR),
        ("get from disk", "P3 get", OURS),
        ("a prepared SELECT", "P3 select", FLOOR),
        ("put, write-behind", "P8 put, room in the buffer", OURS),
        ("put", "P4 put, zipf", OURS),
        ("a prepared upsert", "P4 upsert, zipf", FLOOR),
        ("put_many, an item", "P5 put_many", OURS),
        ("upserts in a transaction, an item", "P5 upserts", FLOOR),
    )
    return _calls(results, rows, "What calls cost in C", "512-byte values, 100 000 keys; shorter is faster")


def _stores(results: Results) -> str | None:
    rows = (
        (f"{call}: {name}", f"peer {call}, {name}", OURS if name == "libdbc" else PEER)
        for call in ("get", "put", "put_many")
        for name in ("libdbc", "SQLite, plain table", "LMDB", "RocksDB", "LevelDB")
    )
    subtitle = "from C, 512-byte values, zipf over 100 000 keys; put_many: an item of 1000"
    return _calls(results, rows, "Beside stores of bytes", subtitle)


def _sizes(results: Results) -> str | None:
    panels = []
    for call in ("get", "put"):
        drawn = []
        for colour, (name, label) in enumerate(
            (("libdbc", "libdbc"), ("diskcache", "diskcache"), ("files", "plain files"))
        ):
            prefix = f"sizes {call}, {name}, "
            points = [
                (float(series[len(prefix) :]), results.of(series))
                for series in results.series
                if series.startswith(prefix)
            ]
            if points:
                drawn.append(Line(label, sorted(points), colour))
        if drawn:
            panels.append((call, drawn))
    title, subtitle = "Values from 100 bytes to 10 MB", "bytes from Python, no memory tier; lower is faster"
    return lines(title, subtitle, panels) if panels else None


def _targets(results: Results) -> str | None:
    rows = []
    for verdict in judge(results, set()):
        if verdict.value is None:
            continue
        part = verdict.part
        cost = part.limit / verdict.value if part.at_least else verdict.value / part.limit
        label = f"{verdict.target.name}  {part.what}"
        # What is a hundred times better than asked for would leave no room for the rest.
        rows.append(Dot(label, max(cost, 0.1), f"{cost:.2f}" if cost >= 0.1 else "< 0.1", GOOD if verdict.met else BAD))
    title = "Targets"
    subtitle = "what was measured over what is allowed; left of the dashed line is met"
    return dots(title, subtitle, rows, ratio_label, limit=1.0) if rows else None


def charts(results: Results) -> dict[str, str]:
    """By the names of their files."""
    made = {
        "calls": _native(results),
        "python-get": _python(results, "get", "Getting an object in Python"),
        "python-put": _python(results, "put", "Putting an object in Python"),
        "stores": _stores(results),
        "sizes": _sizes(results),
        "targets": _targets(results),
    }
    return {name: drawing for name, drawing in made.items() if drawing}
