"""The measurements as tables: rows of text, which a terminal and the documents show alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from targets import Results, judge, number, promise

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    columns: Row
    rows: list[Row]


_Rows = Callable[[Results], Iterable[Row]]
_TABLES: list[Callable[[Results], Table]] = []


def _table(name: str, title: str, columns: Row) -> Callable[[_Rows], _Rows]:
    """Makes a table of a function that gives its rows. The order of these functions is that of the tables."""

    def add(rows: _Rows) -> _Rows:
        _TABLES.append(lambda results: Table(name, title, columns, list(rows(results))))
        return rows

    return add


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


def _times(results: Results, *names: str) -> Row:
    return tuple(_time(results, name) for name in names)


def _ratio(results: Results, name: str, to: str) -> str:
    if name not in results.series or to not in results.series:
        return "-"
    return f"{results.ratio(name, to):.2f}"


_FROM_C = (
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

_FROM_PYTHON = (
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


def _compared(results: Results, rows: tuple[tuple[str, str, str, str], ...]) -> Iterator[Row]:
    for what, name, floor, floor_name in rows:
        if name in results.series:
            yield what, _time(results, name), floor, _time(results, floor_name), _ratio(results, name, floor_name)


@_table("native", "From C, microseconds a call or item", ("from C", "us", "beside", "us", "ratio"))
def _native(results: Results) -> Iterator[Row]:
    return _compared(results, _FROM_C)


@_table(
    "python",
    "From Python, microseconds a call or item",
    ("from Python, Pydantic objects", "us", "beside", "us", "ratio"),
)
def _python(results: Results) -> Iterator[Row]:
    return _compared(results, _FROM_PYTHON)


_THROUGHPUT = (
    ("memory hits, 1 thread", "P2 gets, one thread", "P2 gets, one thread"),
    ("memory hits, 2 threads", "P2 gets, two threads", "P2 gets, one thread"),
    ("memory hits, 2 threads, each with a thousand keys of its own", "P2 gets, two threads apart", "P2 gets, one thread"),
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
)


@_table("throughput", "Calls a second", ("what", "a second", "ratio"))
def _throughput(results: Results) -> Iterator[Row]:
    for label, name, base in _THROUGHPUT:
        if name in results.series:
            yield label, f"{results.of(name):,.0f}", _ratio(results, name, base)


_LATENCY = (
    ("a map's find and copy", "P6 map"),
    ("memory hit", "P6 memory hit"),
    ("a map's find and copy, while another thread flushes", "P6 map beside flushes"),
    ("memory hit, while another thread flushes", "P6 memory hit beside flushes"),
)


@_table("latency", "One by one, among 100 000", ("call", "median, us", "p99.9, us", "ratio"))
def _latency(results: Results) -> Iterator[Row]:
    for label, name in _LATENCY:
        if f"{name}, median" in results.series:
            cells = _times(results, f"{name}, median", f"{name}, p99.9")
            yield label, *cells, _ratio(results, f"{name}, p99.9", f"{name}, median")


@_table(
    "stores",
    "Beside stores of bytes",
    ("from C, 512 bytes, zipf over 100 000", "get, us", "put, us", "put_many, us an item"),
)
def _stores(results: Results) -> Iterator[Row]:
    for name in ("libdbc", "libdbc, no memory tier", "SQLite, plain table", "LMDB", "RocksDB", "LevelDB"):
        cells = _times(results, *(f"peer {call}, {name}" for call in ("get", "put", "put_many")))
        if reason := results.unavailable.get(f"peer {name}"):
            yield name, reason, "", ""
        elif set(cells) != {"-"}:
            yield name, *cells


@_table(
    "python-peers",
    "Beside other caches for Python",
    ("from Python, Pydantic objects, zipf over 10 000", "get, us", "put, us"),
)
def _python_peers(results: Results) -> Iterator[Row]:
    prefix = "python peer "
    calls = prefix + "put, ", prefix + "get, "
    for name in dict.fromkeys(name.split(", ", 1)[1] for name in results.series if name.startswith(calls)):
        yield name, *_times(results, f"{prefix}get, {name}", f"{prefix}put, {name}")
    for name, why in results.unavailable.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), why, ""


@_table(
    "sizes",
    "Values of all sizes, bytes from Python, no memory tier",
    ("value", "get, us", "diskcache", "a file", "put, us", "diskcache", "a file"),
)
def _sizes(results: Results) -> Iterator[Row]:
    labels = {100: "100 B", 1000: "1 kB", 10_000: "10 kB", 100_000: "100 kB", 1_000_000: "1 MB", 10_000_000: "10 MB"}
    caches = ("libdbc", "diskcache", "files")
    for size, label in labels.items():
        names = [f"sizes {call}, {cache}, {size}" for call in ("get", "put") for cache in caches]
        if names[0] in results.series:
            yield label, *_times(results, *names)


_SURVIVES = {
    "normal": "a killed process: everything; a power cut: all but perhaps the last commits",
    "full": "a power cut too",
    "off": "a killed process: everything; a power cut may damage the file, which is then moved aside",
}


@_table("durability", "What durability costs", ("durability", "put, us", "put_many, us an item", "survives"))
def _durability(results: Results) -> Iterator[Row]:
    for mode, what in _SURVIVES.items():
        names = (f"durability put, {mode}", f"durability put_many, {mode}")
        if names[0] in results.series:
            yield mode, *_times(results, *names), what


@_table(
    "compression",
    "What compression saves and costs",
    ("JSON of", "file, to one without", "put, us", "put with zstd, us", "get, us", "get with zstd, us"),
)
def _compression(results: Results) -> Iterator[Row]:
    for size in ("0.5 KB", "5 KB", "50 KB"):
        if f"compression put, zstd, {size}" in results.series:
            plain, packed = (results.facts[f"compression megabytes, {label}, {size}"] for label in ("plain", "zstd"))
            names = [f"compression {call}, {label}, {size}" for call in ("put", "get") for label in ("plain", "zstd")]
            yield size, f"{packed / plain:.2f}", *_times(results, *names)
    if reason := results.unavailable.get("compression"):
        yield reason, "", "", "", "", ""


@_table("files", "Space", ("what", "how much"))
def _files(results: Results) -> Iterator[Row]:
    facts = results.facts
    if "churn largest file, x max_disk_size_bytes" in facts:
        limit = facts["churn limit, bytes"] / 1e6
        yield (
            f"largest file in ten turnovers of {limit:.0f} MB, items of 100 B to 100 kB",
            f"{facts['churn largest file, x max_disk_size_bytes']:.2f} x max_disk_size_bytes",
        )
        yield "longest put meanwhile", f"{facts['churn longest put, ms']:.0f} ms"
    if "wal largest, MB" in facts:
        yield (
            f"largest WAL in {facts['wal seconds']:.0f} s of puts, batches, gets, scans, another program's reads",
            f"{facts['wal largest, MB']:.0f} MB",
        )
    if "P10 memory an item" in results.series:
        sizes = results.samples("P10 memory an item")
        yield "memory an item, beyond key and value", f"{min(sizes):.0f} to {max(sizes):.0f} bytes"


_PIECES = (
    ("the whole: `dbc_get` and release", "pieces: a memory hit"),
    ("the whole, with a time given", "pieces: a memory hit, time given"),
    ("reading the wall clock", "pieces: the wall clock"),
    ("the hash of the key", "pieces: the hash of a key"),
    ("looking whether another process has changed it (the generation of the key)", "pieces: the generation of a key"),
    ("an atomic add and its undoing, uncontended", "pieces: an atomic add and its undoing"),
    ("a cache line's way from one processor to another", "P2 a cache line's way to another processor"),
    ("for comparison: `unordered_map::find`", "pieces: a map's find"),
)


@_table("pieces", "What a memory hit is made of", ("step", "ns"))
def _pieces(results: Results) -> Iterator[Row]:
    for label, name in _PIECES:
        if name in results.series:
            yield label, f"{results.of(name) * 1e3:.0f}"


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


@_table(
    "profile",
    "What calls do, counted",
    ("a call or item", "statements", "steps", "pages asked for", "WAL frames", "system calls", "instructions"),
)
def _profile(results: Results) -> Iterator[Row]:
    def cell(what: str, operation: str) -> str:
        value = results.facts.get(f"profile {what}, {operation}")
        if value is None:
            return "-"
        # System calls of threads that wait for each other, and the tool's own, come and go: less is none.
        return "0" if value < 0.005 else f"{value:,.0f}" if value >= 100 else f"{value:.2g}"

    kinds = ("statements", "steps", "pages read", "pages written", "system calls", "instructions")
    for operation in _OPERATIONS:
        if f"profile statements, {operation}" in results.facts:
            yield operation, *(cell(kind, operation) for kind in kinds)


@_table("system-calls", "System calls of a call or item", ("a call or item", "system calls"))
def _system_calls(results: Results) -> Iterator[Row]:
    for operation in _OPERATIONS:
        counts = {
            name.split(",")[0].removeprefix("profile system call "): value
            for name, value in results.facts.items()
            if name.startswith("profile system call ") and name.split(", ", 1)[1] == operation
        }
        ranked = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
        if f"profile system calls, {operation}" in results.facts:
            yield operation, ", ".join(f"{number:.2g} {name}" for name, number in ranked) or "none"


def _targets(results: Results, only: set[str]) -> Table:
    rows: list[Row] = []
    before = None
    for verdict in judge(results, only):
        target, part = verdict.target, verdict.part
        names = ("", "") if target is before else (target.name, target.operation)
        measured = "-" if verdict.value is None else number(verdict.value, part.unit)
        rows.append((*names, part.what, promise(part), measured, verdict.text()))
        before = target
    return Table("targets", "Targets", ("", "operation", "what", "target", "measured", "verdict"), rows)


def tables(results: Results, only: set[str] = frozenset()) -> list[Table]:  # type: ignore[assignment]
    """All that have rows; the targets come last."""
    made = [make(results) for make in _TABLES]
    return [table for table in made if table.rows] + [_targets(results, only)]
