"""What the cache shall do, written down as plainly as possible: dictionaries, and a scan for every victim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models import Blob


@dataclass
class Row:
    value: Blob
    size: int
    timestamp: float


@dataclass
class Oracle:
    max_memory_items: int
    max_memory_size_bytes: int
    max_disk_items: int
    max_disk_size_bytes: int
    max_item_size_bytes: int
    memory_ttl_seconds: float
    disk_ttl_seconds: float
    disk: dict[str, Row] = field(default_factory=dict)
    memory: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def stats(self) -> dict[str, int]:
        names = "memory_hits disk_hits misses memory_evictions disk_evictions total_puts total_gets total_deletes"
        return {
            **{name: self.counts.get(name, 0) for name in (names + " memory_expired disk_expired discarded").split()},
            "current_memory_items": len(self.memory),
            "current_disk_items": len(self.disk),
            "memory_bytes": sum(self.disk[key].size for key in self.memory),
            "disk_bytes": sum(row.size for row in self.disk.values()),
        }

    def order(self, key: str) -> tuple[float, str]:
        return self.disk[key].timestamp, key

    def remove(self, key: str) -> None:
        del self.disk[key]
        self.memory.discard(key)

    def belongs_in_memory(self, size: int) -> bool:
        return self.max_memory_items > 0 and size <= min(self.max_item_size_bytes, self.max_memory_size_bytes)

    def evict_from_memory(self) -> None:
        while (
            len(self.memory) > self.max_memory_items
            or sum(self.disk[key].size for key in self.memory) > self.max_memory_size_bytes
        ):
            self.memory.remove(min(self.memory, key=self.order))
            self.count("memory_evictions")

    def evict_from_disk(self) -> None:
        while (
            len(self.disk) > self.max_disk_items
            or sum(row.size for row in self.disk.values()) > self.max_disk_size_bytes
        ):
            self.remove(min(self.disk, key=self.order))
            self.count("disk_evictions")

    def put_many(self, items: Mapping[str, tuple[Blob, int]], now: float) -> None:
        for key, (value, size) in items.items():
            self.memory.discard(key)
            self.disk[key] = Row(value, size, now)
        self.count("total_puts", len(items))
        self.evict_from_disk()
        self.memory |= {key for key, (_, size) in items.items() if key in self.disk and self.belongs_in_memory(size)}
        self.evict_from_memory()

    def age(self, key: str, now: float) -> float:
        return now - self.disk[key].timestamp

    def get(self, key: str, now: float, scan: bool = False) -> Blob | None:
        self.count("total_gets")
        if key not in self.disk:
            self.count("misses")
            return None
        if key in self.memory and self.age(key, now) > self.memory_ttl_seconds:
            self.memory.remove(key)
            self.count("memory_expired")
        if self.age(key, now) > self.disk_ttl_seconds:
            self.remove(key)
            self.count("disk_expired")
            self.count("misses")
            return None
        row = self.disk[key]
        self.count("memory_hits" if key in self.memory else "disk_hits")
        if not scan:
            row.timestamp = now
            if self.belongs_in_memory(row.size):
                self.memory.add(key)
                self.evict_from_memory()
        return row.value

    def delete(self, key: str) -> bool:
        self.count("total_deletes")
        there = key in self.disk
        if there:
            self.remove(key)
        return there

    def exists(self, key: str, now: float) -> bool:
        return key in self.disk and self.age(key, now) <= self.disk_ttl_seconds

    def tier(self, key: str, now: float) -> Literal["memory", "disk"] | None:
        if not self.exists(key, now):
            return None
        return "memory" if key in self.memory and self.age(key, now) <= self.memory_ttl_seconds else "disk"

    def purge_expired(self, now: float) -> int:
        for key in [key for key in self.memory if self.age(key, now) > self.memory_ttl_seconds]:
            self.memory.remove(key)
            self.count("memory_expired")
        expired = [key for key in self.disk if self.age(key, now) > self.disk_ttl_seconds]
        for key in expired:
            self.remove(key)
        self.count("disk_expired", len(expired))
        return len(expired)
