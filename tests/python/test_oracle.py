"""Random calls on the cache and on the oracle: all answers, counters and tiers must agree after each of them."""

from __future__ import annotations

import math
import tempfile
from typing import Any

from diskbackedcache import DiskBackedCache
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from models import OVERHEAD, Blob, blob
from oracle import Oracle

# Few keys, times and sizes, so that they collide.
KEYS = ["a", "b", "c", "B", "é", "\uffff", "\U00010000"]
keys = st.sampled_from(KEYS)
times = st.integers(0, 30).map(float)
sizes = st.integers(OVERHEAD, OVERHEAD + 60)
limits = st.fixed_dictionaries(
    {
        "max_memory_items": st.sampled_from([0, 1, 2, 3, 100]),
        "max_memory_size_bytes": st.sampled_from([50, 120, 200, 10_000]),
        "max_disk_items": st.sampled_from([1, 3, 5, 100]),
        "max_disk_size_bytes": st.sampled_from([100, 200, 300, 10_000]),
        "max_item_size_bytes": st.sampled_from([45, 60, 10_000]),
        "memory_ttl_seconds": st.sampled_from([3.0, 10.0, math.inf]),
        "disk_ttl_seconds": st.sampled_from([5.0, 15.0, math.inf]),
    }
)


class Comparison(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()

    def open(self) -> DiskBackedCache[Blob]:
        return DiskBackedCache(f"{self.directory.name}/cache.db", Blob, **self.options, compression=self.compression)

    @initialize(options=limits, compression=st.sampled_from([None, "zstd"]))
    def start(self, options: dict[str, Any], compression: Any) -> None:
        self.compression = compression
        self.options = options
        self.oracle = Oracle(**options)
        self.cache = self.open()

    @rule(key=keys, size=sizes, now=times)
    def put(self, key: str, size: int, now: float) -> None:
        value = blob(size)
        self.cache.put(key, value, timestamp=now)
        self.oracle.put_many({key: (value, size)}, now)

    @rule(batch=st.dictionaries(keys, sizes, max_size=6), now=times)
    def put_many(self, batch: dict[str, int], now: float) -> None:
        items = {key: (blob(size), size) for key, size in batch.items()}
        self.cache.put_many({key: value for key, (value, _) in items.items()}, timestamp=now)
        self.oracle.put_many(items, now)

    @rule(key=keys, now=times)
    def get(self, key: str, now: float) -> None:
        in_memory = self.oracle.tier(key, now) == "memory"
        expected = self.oracle.get(key, now)
        found = self.cache.get(key, timestamp=now)
        assert found == expected
        if in_memory:
            assert found is not None
            assert self.cache.get(key, timestamp=now) is found
            assert self.oracle.get(key, now) == expected

    @rule(batch=st.lists(keys, max_size=6), now=times)
    def get_many(self, batch: list[str], now: float) -> None:
        expected = {}
        for key in batch:
            value = self.oracle.get(key, now, scan=True)
            if value is not None:
                expected[key] = value
        found = self.cache.get_many(batch, timestamp=now)
        assert found == expected
        assert list(found) == list(expected)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        assert self.cache.delete(key) == self.oracle.delete(key)

    @rule(batch=st.lists(keys, max_size=4))
    def delete_many(self, batch: list[str]) -> None:
        assert self.cache.delete_many(batch) == sum(map(self.oracle.delete, batch))

    @rule(now=times)
    def purge(self, now: float) -> None:
        assert self.cache.purge_expired(timestamp=now) == self.oracle.purge_expired(now)

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.oracle.disk.clear()
        self.oracle.memory.clear()

    @rule()
    def clear_memory(self) -> None:
        self.cache.clear_memory()
        self.oracle.memory.clear()

    @rule()
    def flush(self) -> None:
        self.cache.flush()

    @rule()
    def reopen(self) -> None:
        self.cache.close()
        self.cache = self.open()
        self.oracle.memory.clear()
        self.oracle.counts.clear()

    @precondition(lambda self: hasattr(self, "cache"))
    @invariant()
    def agree(self) -> None:
        assert dict(self.cache.get_stats()) == self.oracle.stats()
        assert self.cache.get_count() == len(self.oracle.disk)
        for now in (0.0, 8.0, 30.0):
            for key in KEYS:
                assert self.cache.tier(key, timestamp=now) == self.oracle.tier(key, now), (key, now)
                assert self.cache.exists(key, timestamp=now) == self.oracle.exists(key, now), (key, now)
        assert dict(self.cache.get_stats()) == self.oracle.stats()

    def teardown(self) -> None:
        if hasattr(self, "cache"):
            self.cache.close()
        self.directory.cleanup()


Comparison.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_cache_and_oracle_agree = Comparison.TestCase
