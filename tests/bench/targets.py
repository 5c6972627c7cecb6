"""What the library promises to cost, and how that is read from the measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


class Results:
    """The series of one run. A ratio is the median of the repetitions' ratios: both sides met the same moment."""

    def __init__(self, document: dict) -> None:
        self.document = document
        self.series = document["series"]
        self.facts = document["facts"]
        self.unavailable = document["unavailable"]

    def samples(self, name: str) -> list[float]:
        return self.series[name]["samples"]

    def of(self, name: str) -> float:
        return median(self.samples(name))

    def ratio(self, name: str, to: str) -> float:
        pairs = zip(self.samples(name), self.samples(to), strict=True)
        return median(one / other for one, other in pairs)


@dataclass(frozen=True)
class Part:
    """One number of a target: at most `limit`, or at least that."""

    what: str
    value: Callable[[Results], float]
    limit: float
    unit: str
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def short_by(self, value: float) -> float:
        """By which part of the limit it is missed."""
        return (self.limit - value if self.at_least else value - self.limit) / self.limit


@dataclass(frozen=True)
class Target:
    name: str
    operation: str
    parts: list[Part]


def times(what: str, name: str, to: str, limit: float) -> Part:
    """How many times as much at the most."""
    return Part(what, lambda results: results.ratio(name, to), limit, "x")


def rate(what: str, name: str, to: str, limit: float) -> Part:
    """How many times as many at the least, in calls a second."""
    return Part(what, lambda results: results.ratio(name, to), limit, "x", at_least=True)


def faster(what: str, name: str, than: str, limit: float) -> Part:
    """How many times faster at the least, in times a call."""
    return rate(what, than, name, limit)


def at_most(what: str, name: str, limit: float, unit: str, scale: float = 1) -> Part:
    return Part(what, lambda results: results.of(name) * scale, limit, unit)


def fact(what: str, name: str, limit: float, unit: str) -> Part:
    return Part(what, lambda results: results.facts[name], limit, unit)


_PARTS = {
    ("P1", "memory hit in C, no copy"): [
        times("to a map's find and copy of 512 bytes", "P1 get", "P1 map find and copy", 2.0),
    ],
    ("P2", "memory hits, 2 threads"): [
        rate("throughput of two threads, to one", "P2 gets, two threads", "P2 gets, one thread", 1.7),
        rate("beside a writer, to alone", "P2 gets beside a writer", "P2 gets alone", 0.7),
    ],
    ("P3", "disk hit, working set far above the memory tier"): [
        times("to a SELECT on the plain table, uniform", "P3 get", "P3 select", 1.15),
        times("to a SELECT on the plain table, zipf", "P3 get, zipf, no memory tier", "P3 select, zipf", 1.15),
    ],
    ("P4", "put, write-through, overwriting"): [
        times("to an upsert into the plain table, zipf", "P4 put, zipf", "P4 upsert, zipf", 0.5),
        times("to an upsert into the plain table, uniform", "P4 put, uniform", "P4 upsert, uniform", 0.5),
    ],
    ("P5", "put_many(1000), random overwrites"): [
        times("to upserts of the same rows in one transaction", "P5 put_many", "P5 upserts", 0.6),
    ],
    ("P6", "a get that moves the order on disk"): [
        at_most("extra cost, amortised", "P6 extra cost of a move", 3, "us"),
        times(
            "p99.9 of memory hits beside flushes, to their median",
            "P6 memory hit beside flushes, p99.9",
            "P6 memory hit beside flushes, median",
            20,
        ),
    ],
    ("P7", "put into a full cache, one eviction each"): [
        times("to an overwrite", "P7 put, few items", "P7 overwrite", 1.5),
        times("1 M items to 10 k", "P7 put, many items", "P7 put, few items", 1.3),
    ],
    ("P8", "put, write-behind"): [
        at_most("while the buffer has room", "P8 put, room in the buffer", 2, "us"),
        Part("sustained, zipf", lambda results: results.of("P8 sustained puts, zipf"), 60_000, "1/s", at_least=True),
    ],
    ("P9", "a file with 1 M items"): [
        at_most("open", "P9 open", 20, "ms", 1e-3),
        at_most("close", "P9 close", 20, "ms", 1e-3),
    ],
    ("P10", "memory an item, beyond key and value"): [
        Part("at the most, of four sizes", lambda results: max(results.samples("P10 memory an item")), 112, "bytes"),
    ],
    ("P11", "puts, write-through, 4 threads"): [
        rate("total rate, to one thread", "P11 puts, threads: 4", "P11 puts, threads: 1", 2.5),
    ],
    ("Y1", "Python: memory hit of a Pydantic object"): [
        at_most("a call", "Y1 get", 0.6, "us"),
        times("to cachetools.LRUCache.get", "Y1 get", "Y1 cachetools get", 1.3),
        faster("faster than diskcache", "Y1 get", "Y1 diskcache get", 12),
    ],
    ("Y2", "Python: put of a Pydantic object"): [
        faster("faster than diskcache, overwriting", "Y2 put", "Y2 diskcache set", 2.5),
        faster("faster than diskcache, fresh", "Y2 put, fresh", "Y2 diskcache set, fresh", 2.5),
    ],
    ("Y3", "Python: disk hit, decoded"): [
        times("to diskcache with the LRU policy", "Y3 get", "Y3 diskcache get, LRU", 0.8),
        times("to diskcache with its default policy", "Y3 get", "Y3 diskcache get", 1.0),
    ],
    ("Y4", "Python: put_many(1000), an item"): [
        faster("faster than diskcache, fresh", "Y4 put_many, fresh", "Y4 diskcache sets, fresh", 3),
        faster("faster than diskcache, overwriting", "Y4 put_many, overwriting", "Y4 diskcache sets, overwriting", 2),
    ],
    ("Y5", "Python: get_many(1000), an item"): [
        faster("faster than diskcache, in memory", "Y5 get_many, in memory", "Y5 diskcache get", 8),
        faster("faster than diskcache, on disk", "Y5 get_many, on disk", "Y5 diskcache get", 2.5),
    ],
    ("Y6", "Python: 8 processes put at once"): [
        rate("rate to diskcache's, write-through", "Y6 puts, through", "Y6 puts, diskcache", 1.7),
        rate("rate to diskcache's, write-behind", "Y6 puts, behind", "Y6 puts, diskcache", 5),
        times("slowest put to diskcache's", "Y6 slowest put, through", "Y6 slowest put, diskcache", 0.2),
    ],
    ("Y7", "Python: import, open, close"): [
        times(
            "to an import of pydantic's BaseModel",
            "Y7 import, open and close",
            "Y7 import pydantic, its BaseModel",
            1.5,
        ),
    ],
    ("files", "the file and its WAL"): [
        fact("file to max_disk_size_bytes, ten turnovers", "churn largest file, x max_disk_size_bytes", 1.5, "x"),
        # 64 MiB, and one batch.
        fact("largest WAL, readers and writers mixed", "wal largest, MB", 80, "MB"),
    ],
}
TARGETS = [Target(name, operation, parts) for (name, operation), parts in _PARTS.items()]


@dataclass(frozen=True)
class Verdict:
    target: Target
    part: Part
    value: float | None  # None: not measured
    reason: str  # why not

    @property
    def met(self) -> bool | None:
        return None if self.value is None else self.part.met(self.value)

    def text(self) -> str:
        if self.value is None:
            return f"not measured: {self.reason}"
        return "met" if self.met else f"missed by {self.part.short_by(self.value):.0%}"


def judge(results: Results, only: set[str]) -> list[Verdict]:
    verdicts = []
    for target in TARGETS:
        if only and target.name not in only:
            continue
        for part in target.parts:
            try:
                verdicts.append(Verdict(target, part, part.value(results), ""))
            except KeyError as missing:
                reasons = [why for name, why in results.unavailable.items() if name.split()[0] == target.name]
                verdicts.append(Verdict(target, part, None, reasons[0] if reasons else f"no {missing}"))
    return verdicts


def number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
    return f"{text} x" if unit == "x" else f"{text} {unit}"


def promise(part: Part) -> str:
    limit = f"{part.limit:,.0f}" if part.limit >= 100 else f"{part.limit:g}"
    return f"{'≥' if part.at_least else '≤'} {limit} {part.unit}"
