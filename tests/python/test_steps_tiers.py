"""Steps 29 to 32, 36, 37: how the two tiers work together, clear and close."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diskbackedcache import CacheClosedError, DiskBackedCache
from models import ADA, BOB, Blob, User, blob

OpenUsers = Callable[..., DiskBackedCache[User]]
OpenBlobs = Callable[..., DiskBackedCache[Blob]]


def test_step_29_put_writes_both_tiers(cache: DiskBackedCache[User], path: Path) -> None:
    cache.put("k", ADA)
    assert cache.tier("k") == "memory"
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM cache").fetchone() == (1,)
    connection.close()


def test_step_29_a_refused_put_changes_neither_tier(open_users: OpenUsers, path: Path) -> None:
    cache = open_users(busy_timeout_seconds=0)
    cache.put("k", ADA)
    before = cache.get_stats()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for call in (
            lambda: cache.put("k", BOB),
            lambda: cache.put_many({"k": BOB, "l": BOB}),
            lambda: cache.delete("k"),
        ):
            with pytest.raises(Exception) as caught:
                call()
            assert type(caught.value).__name__ == "CacheBusyError"
        assert cache.get_stats() == before
        assert cache.get("k") is ADA
    finally:
        connection.execute("ROLLBACK")
        connection.close()
    cache.put("k", BOB)
    assert cache.get("k") is BOB


def test_step_30_get_promotes(cache: DiskBackedCache[User]) -> None:
    cache.put("k", ADA)
    cache.clear_memory()
    first = cache.get("k")
    assert first == ADA
    assert cache.tier("k") == "memory"
    assert cache.get("k") is first
    stats = cache.get_stats()
    assert (stats.disk_hits, stats.memory_hits) == (1, 1)


def test_step_30_promotion_evicts(open_users: OpenUsers) -> None:
    cache = open_users(max_memory_items=1)
    cache.put("a", ADA, timestamp=1.0)
    cache.put("b", BOB, timestamp=2.0)
    assert cache.tier("a", timestamp=3.0) == "disk"
    cache.get("a", timestamp=3.0)
    assert (cache.tier("a", timestamp=3.0), cache.tier("b", timestamp=3.0)) == ("memory", "disk")
    assert cache.get_stats().memory_evictions == 2


def test_step_31_large_items_live_on_disk_only(open_blobs: OpenBlobs) -> None:
    cache = open_blobs(max_item_size_bytes=100, max_memory_items=1)
    small, large = blob(100), blob(101)
    cache.put("small", small)
    cache.put("large", large)
    assert (cache.tier("small"), cache.tier("large")) == ("memory", "disk")
    assert cache.get("large") == large
    assert cache.get("large") is not large
    assert cache.tier("large") == "disk"
    assert cache.get("small") is small
    assert cache.get_stats().memory_evictions == 0
    assert cache.get_stats().memory_bytes == 100


def test_step_31_overwriting_small_with_large_and_back(open_blobs: OpenBlobs) -> None:
    cache = open_blobs(max_item_size_bytes=100)
    for size, tier in [(50, "memory"), (500, "disk"), (60, "memory"), (600, "disk")]:
        value = blob(size)
        cache.put("k", value)
        assert cache.tier("k") == tier
        assert cache.get("k") == value
        assert cache.get_stats().memory_bytes == (size if tier == "memory" else 0)
    cache.put_many({"k": blob(70)})
    assert cache.tier("k") == "memory"
    cache.put_many({"k": blob(700)})
    assert cache.tier("k") == "disk"


def test_step_31_larger_than_all_of_memory(open_blobs: OpenBlobs) -> None:
    cache = open_blobs(max_memory_size_bytes=100)
    cache.put("small", blob(60))
    cache.put("large", blob(101))
    assert (cache.tier("small"), cache.tier("large")) == ("memory", "disk")
    assert cache.get_stats().memory_evictions == 0


def test_step_32_eviction_from_disk_cascades(open_blobs: OpenBlobs) -> None:
    cache = open_blobs(max_disk_items=2)
    for i, key in enumerate("abc"):
        cache.put(key, blob(40), timestamp=float(i))
    assert cache.tier("a", timestamp=3.0) is None
    assert cache.get("a", timestamp=3.0) is None
    stats = cache.get_stats()
    assert (stats.current_memory_items, stats.current_disk_items) == (2, 2)
    assert (stats.memory_evictions, stats.disk_evictions) == (0, 1)


def test_step_36_clear(open_users: OpenUsers) -> None:
    cache = open_users()
    cache.put_many({"a": ADA, "b": BOB})
    cache.clear()
    assert cache.get("a") is None
    assert cache.get_count() == cache.get_total_size() == 0
    assert cache.get_stats().total_puts == 2
    cache.put("a", BOB)
    assert cache.get("a") is BOB
    cache.close()
    assert open_users().get_count() == 1


def test_step_36_clear_memory(cache: DiskBackedCache[User]) -> None:
    cache.put("a", ADA)
    cache.clear_memory()
    assert cache.tier("a") == "disk"
    assert cache.get_stats().current_memory_items == 0
    assert cache.get_count() == 1


def test_step_37_close(open_users: OpenUsers) -> None:
    cache = open_users()
    cache.put("k", ADA)
    assert not cache.closed
    cache.close()
    assert cache.closed
    cache.close()
    calls: list[Callable[[], Any]] = [
        lambda: cache.put("k", ADA),
        lambda: cache.put_many({"k": ADA}),
        lambda: cache.get("k"),
        lambda: cache.get_many(["k"]),
        lambda: cache.delete("k"),
        lambda: cache.delete_many(["k"]),
        lambda: cache.exists("k"),
        lambda: cache.tier("k"),
        lambda: cache.clear(),
        lambda: cache.clear_memory(),
        lambda: cache.flush(),
        lambda: cache.purge_expired(),
        lambda: cache.check(),
        lambda: cache.get_count(),
        lambda: cache.get_total_size(),
        lambda: cache.get_stats(),
        lambda: len(cache),
        lambda: "k" in cache,
    ]
    for call in calls:
        with pytest.raises(CacheClosedError) as caught:
            call()
        assert caught.value.name == "DBC_CLOSED"
        assert caught.value.code == 17
        assert "closed" in str(caught.value)
    assert open_users().get("k") == ADA


def test_step_37_context_manager(path: Path) -> None:
    with DiskBackedCache(path, User) as cache:
        cache.put("k", ADA)
    assert cache.closed
    with pytest.raises(KeyError), DiskBackedCache(path, User) as cache:
        raise KeyError
    assert cache.closed


def test_step_37_memory_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with DiskBackedCache(":memory:", User) as one, DiskBackedCache(":memory:", User) as two:
        one.put("k", ADA)
        one.clear_memory()
        assert one.get("k") == ADA
        assert two.get("k") is None
    assert list(tmp_path.iterdir()) == []
