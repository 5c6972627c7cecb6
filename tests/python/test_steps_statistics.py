"""Steps 17 to 21: the counters."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from diskbackedcache import CacheStats, DiskBackedCache
from models import ADA, Blob, User, blob

OpenUsers = Callable[..., DiskBackedCache[User]]
OpenBlobs = Callable[..., DiskBackedCache[Blob]]

NAMES = [
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
]


def test_step_17_misses(cache: DiskBackedCache[User]) -> None:
    cache.get("k")
    cache.get_many(["k", "l"])
    stats = cache.get_stats()
    assert stats.misses == stats.total_gets == 3
    assert stats.memory_hits == stats.disk_hits == 0


def test_step_18_hits(cache: DiskBackedCache[User]) -> None:
    cache.put("k", ADA)
    cache.get("k")
    cache.get("k")
    cache.clear_memory()
    cache.get("k")  # from disk, into memory
    cache.get("k")
    stats = cache.get_stats()
    assert (stats.memory_hits, stats.disk_hits, stats.misses, stats.total_gets) == (3, 1, 0, 4)


def test_step_18_hits_of_batches(cache: DiskBackedCache[User]) -> None:
    cache.put_many({"a": ADA, "b": ADA})
    assert list(cache.get_many(["a", "b", "c"])) == ["a", "b"]
    cache.clear_memory()
    assert list(cache.get_many(["b", "a", "c"])) == ["b", "a"]
    assert list(cache.get_many(["a"])) == ["a"]
    stats = cache.get_stats()
    assert (stats.memory_hits, stats.disk_hits, stats.misses) == (2, 3, 2)
    assert stats.total_gets == 7
    assert stats.current_memory_items == 0


def test_step_19_evictions(open_users: OpenUsers) -> None:
    cache = open_users(max_memory_items=2, max_disk_items=4)
    for i in range(6):
        cache.put(f"k{i}", ADA, timestamp=float(i))
    stats = cache.get_stats()
    assert (stats.memory_evictions, stats.disk_evictions) == (4, 2)
    # What goes for other reasons is no eviction.
    cache.delete("k5")
    cache.clear_memory()
    cache.purge_expired(timestamp=1e9)
    stats = cache.get_stats()
    assert (stats.memory_evictions, stats.disk_evictions) == (4, 2)


def test_step_20_operations(cache: DiskBackedCache[User]) -> None:
    cache.put("a", ADA)
    cache.put_many({"b": ADA, "c": ADA})
    cache.get("a")
    cache.get_many(["a", "x"])
    cache.delete("a")
    cache.delete("absent")
    cache.delete_many(["b", "absent"])
    cache.exists("c")
    cache.tier("c")
    stats = cache.get_stats()
    assert (stats.total_puts, stats.total_gets, stats.total_deletes) == (3, 3, 4)
    cache.clear()
    after = cache.get_stats()
    assert (after.total_puts, after.total_gets, after.total_deletes) == (3, 3, 4)


def test_step_21_current_state(open_blobs: OpenBlobs) -> None:
    cache = open_blobs(max_memory_items=2)
    cache.put_many({"a": blob(40), "b": blob(50), "c": blob(60)}, timestamp=1.0)
    stats = cache.get_stats()
    assert (stats.current_memory_items, stats.memory_bytes) == (2, 110)
    assert (stats.current_disk_items, stats.disk_bytes) == (3, 150)
    cache.clear()
    stats = cache.get_stats()
    assert (stats.current_memory_items, stats.memory_bytes) == (0, 0)
    assert (stats.current_disk_items, stats.disk_bytes) == (0, 0)


def test_step_21_counters_belong_to_the_handle(open_users: OpenUsers) -> None:
    first, second = open_users(), open_users()
    first.put("k", ADA)
    assert second.get_stats().total_puts == 0
    assert second.get_stats().current_disk_items == 1
    assert second.get_stats().current_memory_items == 0


def test_stats_have_exactly_these_names(cache: DiskBackedCache[User]) -> None:
    from diskbackedcache._dbc import ffi, lib

    stats = cache.get_stats()
    assert list(stats) == NAMES
    assert [ffi.string(lib.dbc_stat_name(i)).decode() for i in range(lib.DBC_STAT_COUNT)] == NAMES


def test_stats_are_an_object_and_a_mapping(cache: DiskBackedCache[User]) -> None:
    cache.get("k")
    stats = cache.get_stats()
    assert isinstance(stats, CacheStats)
    assert stats["misses"] == stats.misses == dict(stats)["misses"] == 1
    assert len(stats) == len(NAMES)
    assert "misses" in stats
    assert "nonsense" not in stats
    with pytest.raises(KeyError):
        stats["keys"]
    with pytest.raises(AttributeError):
        stats.misses = 2  # type: ignore[misc]
    assert stats == cache.get_stats() == dict(stats)
    assert len({stats, cache.get_stats()}) == 1
    assert pickle.loads(pickle.dumps(stats)) == stats
    assert copy.deepcopy(stats) == stats
    assert "misses=1" in repr(stats)
