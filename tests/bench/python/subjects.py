"""The caches that are held against each other, filled alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diskcache
from diskbackedcache import DiskBackedCache
from measure import batched
from workload import BATCH, Record

FOREVER = float("inf")
LRU = "least-recently-used"
Ours = DiskBackedCache[Record]


def ours(path: Path, **options: Any) -> Ours:
    return DiskBackedCache(
        path,
        Record,
        **{
            "memory_ttl_seconds": FOREVER,
            "disk_ttl_seconds": FOREVER,
            "max_disk_items": 100_000_000,
            "max_memory_size_bytes": 1 << 40,
            "max_disk_size_bytes": 1 << 40,
            **options,
        },
    )


def with_diskcache(path: Path, policy: str = "least-recently-stored") -> diskcache.Cache:
    """Its default policy keeps no order of use. What a kill and a power cut lose is the same as with ours."""
    return diskcache.Cache(str(path), eviction_policy=policy, size_limit=1 << 40)


def fill_ours(cache: Ours, keys: Sequence[str], values: Sequence[Record]) -> Ours:
    for batch in batched(enumerate(keys), BATCH):
        cache.put_many({key: values[index % len(values)] for index, key in batch})
    cache.flush()
    return cache


def fill_diskcache(cache: diskcache.Cache, keys: Sequence[str], values: Sequence[Record]) -> diskcache.Cache:
    for batch in batched(enumerate(keys), BATCH):
        with cache.transact():
            for index, key in batch:
                cache.set(key, values[index % len(values)])
    return cache
