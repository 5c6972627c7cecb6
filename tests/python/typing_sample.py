"""What a type checker shall see. Never run; test_typing.py has it checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from diskbackedcache import CacheableModel, CacheError, CacheStats, DiskBackedCache
from typing_extensions import assert_type


class User(CacheableModel):
    schema_version: str = "1.0.0"
    name: str


class Order(CacheableModel):
    schema_version: str = "1.0.0"


cache = DiskBackedCache("cache.db", User, 1_000, memory_ttl_seconds=60, durability="full", compression="zstd")
assert_type(cache, DiskBackedCache[User])
assert_type(cache.get("k"), "User | None")
assert_type(cache.get("k", timestamp=1), "User | None")
assert_type(cache.get_many(["k"]), dict[str, User])
assert_type(cache.get_many({"k": 1}), dict[str, User])
cache.put("k", User(name="Ada"), 1.5)
cache.put_many({"k": User(name="Ada")})
cache.put_many([("k", User(name="Ada"))])
cache.put_many((str(i), User(name="Ada")) for i in range(3))
assert_type(cache.delete("k"), bool)
assert_type(cache.delete_many(["k"]), int)
assert_type(cache.exists("k"), bool)
assert_type(cache.contains("k", 1.0), bool)
assert_type("k" in cache, bool)
assert_type(len(cache), int)
assert_type(cache.tier("k"), 'Literal["memory", "disk"] | None')
assert_type(cache.purge_expired(), int)
assert_type(cache.check(repair=True).problems, int)
assert_type(cache.get_count(), int)
assert_type(cache.get_total_size(), int)
assert_type(cache.get_stats(), CacheStats)
assert_type(cache.get_stats().misses, int)
assert_type(cache.get_stats()["misses"], int)
assert_type(cache.closed, bool)
assert_type(cache.model, type[User])

with DiskBackedCache(Path("cache.db"), Order) as orders:
    assert_type(orders, DiskBackedCache[Order])
    assert_type(orders.get("k"), "Order | None")


def open_any(path: str | os.PathLike[str], durability: Literal["normal", "off"]) -> DiskBackedCache[User]:
    return DiskBackedCache(path, User, durability=durability)


def error_code(error: CacheError) -> tuple[int, str]:
    return error.code, error.name
