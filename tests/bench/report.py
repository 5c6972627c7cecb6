"""The measurements as tables: rows of text, which a terminal and the documents show alike."""

from __future__ import annotations

from dataclasses import dataclass

from targets import Results, Verdict, judge, number, promise


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def _time(results: Results, name: str) -> str:
    if name not in results.series:
        return "-"
    value = results.of(name)
    return (
        f"{value:.3f}"
        if value < 1
        else f"{value:.2f}"
        if value < 10
        else f"{value:,.1f}"
        if value < 1000
        else f"{value:,.0f}"
    )


def _ratio(results: Results, name: str, to: str) -> str:
    if name not in results.series or to not in results.series:
        return "-"
    return f"{results.ratio(name, to):.2f}"


_NATIVE = (
    ("get from memory, no copy", "P1 get", "map find and copy", "P1 map find and copy"),
    ("get from memory, copied", "P1 get, copied", "map find and copy", "P1 map find and copy"),
    ("get from memory, zipf over 100 000", "P1 get, zipf", "map find and copy", "P1 map find and copy, zipf"),
    ("get from disk, uniform", "P3 get", "prepared SELECT", "P3 select"),
    ("get from disk, zipf", "P3 get, zipf, no memory tier", "prepared SELECT", "P3 select, zipf"),
    ("get, zipf, default memory tier", "P3 get, zipf, default memory tier", "prepared SELECT", "P3 select, zipf"),
    (
        "moving the order on disk, a get",
        "P6 extra cost of a move",
        "prepared UPDATE of the time",
        "P6 update of the time",
    ),
    ("put, overwriting, zipf", "P4 put, zipf", "prepared upsert", "P4 upsert, zipf"),
    ("put, overwriting, uniform", "P4 put, uniform", "prepared upsert", "P4 upsert, uniform"),
    ("put, fresh", "P4 put, fresh", "prepared upsert", "P4 upsert, fresh"),
    ("put_many, overwriting, an item of 1000", "P5 put_many", "upserts in one transaction", "P5 upserts"),
    ("put_many, fresh, an item of 1000", "P5 put_many, fresh", "upserts in one transaction", "P5 upserts, fresh"),
    ("put into a full cache of 10 k", "P7 put, few items", "put, overwriting", "P7 overwrite"),
    ("put into a full cache of 1 M", "P7 put, many items", "put into one of 10 k", "P7 put, few items"),
    ("put, write-behind, room in the buffer", "P8 put, room in the buffer", "-", "-"),
    ("open a file with 1 M items", "P9 open", "-", "-"),
    ("close it", "P9 close", "-", "-"),
    ("close it after 1000 puts and gets", "P9 close after 1000 puts and gets", "-", "-"),
)

_PYTHON = (
    ("get from memory", "Y1 get", "cachetools.LRUCache.get", "Y1 cachetools get"),
    ("get from memory", "Y1 get", "functools.lru_cache", "Y1 lru_cache call"),
    ("get from memory", "Y1 get", "diskcache get", "Y1 diskcache get"),
    ("get from disk, decoded", "Y3 get", "diskcache get", "Y3 diskcache get"),
    ("get from disk, decoded", "Y3 get", "diskcache get, LRU policy", "Y3 diskcache get, LRU"),
    ("put, overwriting", "Y2 put", "diskcache set", "Y2 diskcache set"),
    ("put, overwriting", "Y2 put", "diskcache set, LRU policy", "Y2 diskcache set, LRU"),
    ("put, fresh", "Y2 put, fresh", "diskcache set", "Y2 diskcache set, fresh"),
    (
        "put_many, fresh, an item of 1000",
        "Y4 put_many, fresh",
        "diskcache sets in one transact",
        "Y4 diskcache sets, fresh",
    ),
    (
        "put_many, overwriting, an item of 1000",
        "Y4 put_many, overwriting",
        "diskcache sets in one transact",
        "Y4 diskcache sets, overwriting",
    ),
    ("get_many, in memory, an item of 1000", "Y5 get_many, in memory", "diskcache get", "Y5 diskcache get"),
    ("get_many, on disk, an item of 1000", "Y5 get_many, on disk", "diskcache get", "Y5 diskcache get"),
)


def _compared(results: Results, rows: tuple[tuple[str, str, str, str], ...]) -> list[tuple[str, ...]]:
    return [
        (what, _time(results, name), floor, _time(results, floor_name), _ratio(results, name, floor_name))
        for what, name, floor, floor_name in rows
        if name in results.series
    ]


def _native(results: Results) -> Table:
    columns = ("from C", "us", "beside", "us", "ratio")
    return Table("native", "From C, microseconds a call or item", columns, _compared(results, _NATIVE))


def _python(results: Results) -> Table:
    columns = ("from Python, Pydantic objects", "us", "beside", "us", "ratio")
    return Table("python", "From Python, microseconds a call or item", columns, _compared(results, _PYTHON))


def _rate(results: Results, name: str) -> str:
    return f"{results.of(name):,.0f}" if name in results.series else "-"


def _throughput(results: Results) -> Table:
    rows = []
    for label, name, base in (
        ("memory hits, 1 thread", "P2 gets, one thread", "P2 gets, one thread"),
        ("memory hits, 2 threads", "P2 gets, two threads", "P2 gets, one thread"),
        ("a map that nobody writes, 1 thread", "P2 map, one thread", "P2 map, one thread"),
        ("a map that nobody writes, 2 threads", "P2 map, two threads", "P2 map, one thread"),
        ("memory hits, asked for one by one, alone", "P2 gets alone", "P2 gets alone"),
        ("memory hits beside a writer at full speed", "P2 gets beside a writer", "P2 gets alone"),
        (
            "memory hits beside a writer of the plain table",
            "P2 gets beside a writer of the plain table",
            "P2 gets alone",
        ),
        ("puts, 1 thread", "P11 puts, threads: 1", "P11 puts, threads: 1"),
        ("puts, 2 threads", "P11 puts, threads: 2", "P11 puts, threads: 1"),
        ("puts, 4 threads", "P11 puts, threads: 4", "P11 puts, threads: 1"),
        ("puts, 8 threads", "P11 puts, threads: 8", "P11 puts, threads: 1"),
        ("puts, write-behind, zipf, sustained", "P8 sustained puts, zipf", "P11 puts, threads: 1"),
        ("puts, write-behind, uniform, sustained", "P8 sustained puts, uniform", "P11 puts, threads: 1"),
        ("Python, 8 processes, puts, write-through", "Y6 puts, through", "Y6 puts, diskcache"),
        ("Python, 8 processes, puts, write-behind", "Y6 puts, behind", "Y6 puts, diskcache"),
        ("Python, 8 processes, diskcache sets", "Y6 puts, diskcache", "Y6 puts, diskcache"),
    ):
        if name in results.series:
            rows.append((label, _rate(results, name), _ratio(results, name, base)))
    return Table("throughput", "Calls a second", ("what", "a second", "ratio"), rows)


def _stores(results: Results) -> Table:
    names = ["libdbc", "libdbc, no memory tier", "SQLite, plain table", "LMDB", "RocksDB", "LevelDB"]
    rows = []
    for name in names:
        cells = tuple(_time(results, f"peer {call}, {name}") for call in ("get", "put", "put_many"))
        reason = results.unavailable.get(f"peer {name}")
        if reason or set(cells) != {"-"}:
            rows.append((name, *((reason, "", "") if reason else cells)))
    columns = ("from C, 512 bytes, zipf over 100 000", "get, us", "put, us", "put_many, us an item")
    return Table("stores", "Beside stores of bytes", columns, rows)


def _python_peers(results: Results) -> Table:
    prefix = "python peer "
    names = dict.fromkeys(
        name.split(", ", 1)[1] for name in results.series if name.startswith((prefix + "put, ", prefix + "get, "))
    )
    rows = [(name, _time(results, f"{prefix}get, {name}"), _time(results, f"{prefix}put, {name}")) for name in names]
    rows += [(name[len(prefix) :], why, "") for name, why in results.unavailable.items() if name.startswith(prefix)]
    columns = ("from Python, Pydantic objects, zipf over 10 000", "get, us", "put, us")
    return Table("python-peers", "Beside other caches for Python", columns, rows)


def _durability(results: Results) -> Table:
    survives = {
        "normal": "a killed process: everything; a power cut: all but perhaps the last commits",
        "full": "a power cut too",
        "off": "a killed process: everything; a power cut may damage the file, which is then moved aside",
    }
    rows = [
        (mode, _time(results, f"durability put, {mode}"), _time(results, f"durability put_many, {mode}"), what)
        for mode, what in survives.items()
        if f"durability put, {mode}" in results.series
    ]
    columns = ("durability", "put, us", "put_many, us an item", "survives")
    return Table("durability", "What durability costs", columns, rows)


def _compression(results: Results) -> Table:
    rows = []
    for size in ("0.5 KB", "5 KB", "50 KB"):
        if f"compression put, zstd, {size}" in results.series:
            plain, packed = (results.facts[f"compression megabytes, {label}, {size}"] for label in ("plain", "zstd"))
            rows.append(
                (size, f"{packed / plain:.2f}")
                + tuple(
                    _time(results, f"compression {call}, {label}, {size}")
                    for call in ("put", "get")
                    for label in ("plain", "zstd")
                )
            )
    reason = results.unavailable.get("compression")
    if reason:
        rows.append((reason, "", "", "", "", ""))
    columns = ("JSON of", "file, to one without", "put, us", "put with zstd, us", "get, us", "get with zstd, us")
    return Table("compression", "What compression saves and costs", columns, rows)


def _sizes(results: Results) -> Table:
    labels = {100: "100 B", 1000: "1 kB", 10_000: "10 kB", 100_000: "100 kB", 1_000_000: "1 MB", 10_000_000: "10 MB"}
    rows = [
        (label,)
        + tuple(
            _time(results, f"sizes {call}, {cache}, {size}")
            for call in ("get", "put")
            for cache in ("libdbc", "diskcache", "files")
        )
        for size, label in labels.items()
        if f"sizes get, libdbc, {size}" in results.series
    ]
    columns = ("value", "get, us", "diskcache", "a file", "put, us", "diskcache", "a file")
    return Table("sizes", "Values of all sizes, bytes from Python, no memory tier", columns, rows)


def _files(results: Results) -> Table:
    facts = results.facts
    rows = []
    if "churn largest file, x max_disk_size_bytes" in facts:
        limit = facts["churn limit, bytes"] / 1e6
        rows.append(
            (
                f"largest file in ten turnovers of {limit:.0f} MB, items of 100 B to 100 kB",
                f"{facts['churn largest file, x max_disk_size_bytes']:.2f} x max_disk_size_bytes",
            )
        )
        rows.append(("longest put meanwhile", f"{facts['churn longest put, ms']:.0f} ms"))
    if "wal largest, MB" in facts:
        rows.append(
            (
                f"largest WAL in {facts['wal seconds']:.0f} s of puts, batches, gets, scans, another program's reads",
                f"{facts['wal largest, MB']:.0f} MB",
            )
        )
    if "P10 memory an item" in results.series:
        sizes = results.series["P10 memory an item"]["samples"]
        rows.append(("memory an item, beyond key and value", f"{min(sizes):.0f} to {max(sizes):.0f} bytes"))
    return Table("files", "Space", ("what", "how much"), rows)


_OPERATIONS = (
    "get from memory",
    "get from memory, and writing its access time",
    "get from disk",
    "get_many from disk, an item of 1000",
    "put, overwriting",
    "put, fresh",
    "put, evicting",
    "put_many, overwriting, an item of 1000",
)


def _profile(results: Results) -> Table:
    facts = results.facts

    def cell(what: str, operation: str) -> str:
        value = facts.get(f"profile {what}, {operation}")
        if value is None:
            return "-"
        # System calls of threads that wait for each other, and the tool's own, come and go: less is none.
        return "0" if value < 0.005 else f"{value:,.0f}" if value >= 100 else f"{value:.2g}"

    kinds = ("statements", "steps", "pages read", "pages written", "system calls", "instructions")
    rows = [
        (operation, *(cell(kind, operation) for kind in kinds))
        for operation in _OPERATIONS
        if f"profile statements, {operation}" in facts
    ]
    columns = ("a call or item", "statements", "steps", "pages asked for", "WAL frames", "system calls", "instructions")
    return Table("profile", "What calls do, counted", columns, rows)


def _system_calls(results: Results) -> Table:
    rows = []
    for operation in _OPERATIONS:
        counts = {
            name.split(",")[0].removeprefix("profile system call "): value
            for name, value in results.facts.items()
            if name.startswith("profile system call ") and name.split(", ", 1)[1] == operation
        }
        ranked = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
        if f"profile system calls, {operation}" in results.facts:
            rows.append((operation, ", ".join(f"{number:.2g} {name}" for name, number in ranked) or "none"))
    return Table("system-calls", "System calls of a call or item", ("a call or item", "system calls"), rows)


def _pieces(results: Results) -> Table:
    rows = []
    for label, name in (
        ("the whole: `dbc_get` and release", "pieces: a memory hit"),
        ("the whole, with a time given", "pieces: a memory hit, time given"),
        ("reading the wall clock", "pieces: the wall clock"),
        ("the hash of the key", "pieces: the hash of a key"),
        ("an atomic add and its undoing, uncontended", "pieces: an atomic add and its undoing"),
        ("for comparison: `unordered_map::find`", "pieces: a map's find"),
    ):
        if name in results.series:
            rows.append((label, f"{results.of(name) * 1e3:.0f}"))
    return Table("pieces", "What a memory hit is made of", ("step", "ns"), rows)


def _targets(results: Results, verdicts: list[Verdict]) -> Table:
    rows = []
    before = None
    for verdict in verdicts:
        first = verdict.target is not before
        before = verdict.target
        rows.append(
            (
                verdict.target.name if first else "",
                verdict.target.operation if first else "",
                verdict.part.what,
                promise(verdict.part),
                "-" if verdict.value is None else number(verdict.value, verdict.part.unit),
                verdict.text(),
            )
        )
    columns = ("", "operation", "what", "target", "measured", "verdict")
    return Table("targets", "Targets", columns, rows)


def tables(results: Results, only: set[str] = frozenset()) -> list[Table]:  # type: ignore[assignment]
    """All that have rows; the targets come last."""
    made = [
        make(results)
        for make in (
            _native,
            _python,
            _throughput,
            _stores,
            _python_peers,
            _sizes,
            _durability,
            _compression,
            _files,
            _pieces,
            _profile,
            _system_calls,
        )
    ]
    return [table for table in made if table.rows] + [_targets(results, judge(results, only))]
