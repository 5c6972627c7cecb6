"""One consistent snapshot of the counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import check
from ._native import ffi, lib


@dataclass(frozen=True, eq=False)  # equal to whatever mapping says the same
class CacheStats(Mapping[str, int]):
    """The counters of one handle, and what the tiers hold, all of one moment.

    Works as an object, `stats.misses`, and as a mapping, `stats["misses"]`, `dict(stats)`.
    """

    # In the order of the library's enum dbc_stat.
    __slots__ = (
        "memory_hits",
        "disk_hits",
        "misses",
        "memory_evictions",
        "disk_evictions",
        "total_puts",
        "total_gets",
        "total_deletes",
        "current_memory_items",
        "current_disk_items",
        "memory_bytes",
        "disk_bytes",
        "memory_expired",
        "disk_expired",
        "discarded",
    )

    memory_hits: int
    disk_hits: int
    misses: int
    memory_evictions: int
    disk_evictions: int
    total_puts: int
    #: always memory_hits + disk_hits + misses
    total_gets: int
    total_deletes: int
    current_memory_items: int
    current_disk_items: int
    memory_bytes: int
    disk_bytes: int
    #: left memory because of memory_ttl_seconds
    memory_expired: int
    #: removed because of disk_ttl_seconds
    disk_expired: int
    #: removed because it was unusable: another schema version, a wrong checksum, no valid instance of the model
    discarded: int

    def __getitem__(self, name: str) -> int:
        if name not in self.__slots__:
            raise KeyError(name)
        value: int = getattr(self, name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.__slots__)

    def __len__(self) -> int:
        return len(self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(self.values()))

    def __reduce__(self) -> tuple[type[CacheStats], tuple[int, ...]]:
        return CacheStats, tuple(self.values())


def read_stats(handle: Any) -> CacheStats:
    """Asks the library. Raises CacheError."""
    values = ffi.new("uint64_t[]", len(CacheStats.__slots__))
    check(lib.dbc_stats(handle, values, len(values), ffi.NULL))
    return CacheStats(*values)
