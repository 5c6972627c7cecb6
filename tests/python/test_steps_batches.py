"""Steps 22 to 24: put_many, get_many, delete_many."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diskbackedcache import DiskBackedCache
from models import ADA, BOB, Blob, User, blob

OpenUsers = Callable[..., DiskBackedCache[User]]
OpenBlobs = Callable[..., DiskBackedCache[Blob]]


def test_step_22_put_many(open_users: OpenUsers) -> None:
    cache = open_users()
    cache.put_many({"a": ADA, "b": BOB})
    assert cache.get("a") is ADA
    assert cache.get("b") is BOB
    assert cache.get_stats().memory_hits == 2
    cache.close()
    assert open_users().get_many(["b", "a"]) == {"b": BOB, "a": ADA}


def test_step_22_pairs_and_iterators(cache: DiskBackedCache[User]) -> None:
    cache.put_many([("a", ADA), ("b", ADA), ("a", BOB)])  # the later one stays
    assert cache.get("a") is BOB
    cache.put_many((key, BOB) for key in ["c", "d"])
    assert cache.get_many(["c", "d"]) == {"c": BOB, "d": BOB}
    assert cache.get_count() == 4


def test_step_22_empty_batch(cache: DiskBackedCache[User]) -> None:
    cache.put_many({})
    cache.put_many([])
    assert cache.get_stats().total_puts == 0


def test_step_22_one_timestamp(cache: DiskBackedCache[User], path: Path) -> None:
    cache.put_many({"a": ADA, "b": BOB}, timestamp=77.0)
    cache.put_many({"c": ADA, "d": BOB})
    connection = sqlite3.connect(path)
    times = dict(connection.execute("SELECT key, timestamp FROM cache"))
    connection.close()
    assert times["a"] == times["b"] == 77.0
    assert times["c"] == times["d"] > 1e9


def test_step_22_atomic(open_blobs: OpenBlobs) -> None:
    cache = open_blobs(max_disk_size_bytes=1000)
    old = blob(100)
    cache.put("a", old)
    bad: list[tuple[dict[Any, Any], type[Exception]]] = [
        ({"a": blob(50), "": blob(50)}, ValueError),
        ({"a": blob(50), "k" * 257: blob(50)}, ValueError),
        ({"a": blob(50), 5: blob(50)}, TypeError),
        ({"a": blob(50), "b": ADA}, TypeError),
        ({"a": blob(50), "b": blob(1001)}, ValueError),
    ]
    for batch, error in bad:
        with pytest.raises(error):
            cache.put_many(batch)
        assert cache.get("a") is old
        assert cache.get_count() == 1
        assert cache.get_stats().total_puts == 1


def test_step_22_evicts_once_at_the_end(open_blobs: OpenBlobs) -> None:
    cache = open_blobs(max_disk_items=3, max_memory_items=2)
    cache.put_many({key: blob(40) for key in "edcba"}, timestamp=1.0)
    assert list(cache.get_many(list("abcde"), timestamp=1.0)) == [
        "c",
        "d",
        "e",
    ]
    assert [cache.tier(key, timestamp=1.0) for key in "cde"] == ["disk", "memory", "memory"]


def test_step_22_large_batch_larger_than_memory(open_blobs: OpenBlobs) -> None:
    cache = open_blobs(max_memory_items=100)
    values = {f"k{i:05}": blob(40) for i in range(10_000)}
    cache.put_many(values, timestamp=1.0)
    resident = [key for key in values if cache.tier(key, timestamp=1.0) == "memory"]
    assert resident == [f"k{i:05}" for i in range(9_900, 10_000)]
    assert all(cache.get(key, timestamp=1.0) is values[key] for key in resident)
    assert cache.get_stats().memory_hits == 100


def test_step_23_get_many(cache: DiskBackedCache[User]) -> None:
    cache.put_many({"a": ADA, "b": BOB})
    found = cache.get_many(["b", "missing", "a"])
    assert list(found) == ["b", "a"]
    assert found["a"] is ADA
    assert cache.get_many([]) == {}
    assert list(cache.get_many(key for key in ("a", "b"))) == ["a", "b"]
    assert cache.get_many({"a", "a"}) == {"a": ADA}
    assert cache.get_many(["a", "a", "x", "x"]) == {"a": ADA}


def test_step_23_get_many_promotes_nothing(open_users: OpenUsers) -> None:
    cache = open_users()
    cache.put_many({"a": ADA, "b": BOB})
    cache.clear_memory()
    assert cache.get_many(["a", "b"]) == {"a": ADA, "b": BOB}
    assert cache.tier("a") == cache.tier("b") == "disk"


def test_step_23_get_many_touches_nothing(open_users: OpenUsers) -> None:
    cache = open_users(max_disk_items=2)
    cache.put("a", ADA, timestamp=1.0)
    cache.put("b", ADA, timestamp=2.0)
    cache.get_many(["a"], timestamp=3.0)
    cache.put("c", ADA, timestamp=4.0)
    assert list(cache.get_many(["a", "b", "c"], timestamp=4.0)) == ["b", "c"]


def test_step_23_mixed_tiers_and_expiry(open_users: OpenUsers) -> None:
    cache = open_users(disk_ttl_seconds=100, memory_ttl_seconds=10)
    cache.put("memory", ADA, timestamp=100.0)
    cache.put("cooled", ADA, timestamp=50.0)
    cache.put("expired", ADA, timestamp=-1.0)
    assert list(cache.get_many(["cooled", "expired", "memory"], timestamp=105.0)) == ["cooled", "memory"]
    stats = cache.get_stats()
    assert (stats.memory_hits, stats.disk_hits, stats.misses) == (1, 1, 1)
    assert cache.get_count() == 2


@pytest.mark.parametrize("method", ["get_many", "delete_many"])
@pytest.mark.parametrize("keys", ["abc", b"abc", 5, None])
def test_step_23_no_iterable_of_keys(cache: DiskBackedCache[User], method: str, keys: Any) -> None:
    with pytest.raises(TypeError, match="keys must be an iterable of strings, got"):
        getattr(cache, method)(keys)


@pytest.mark.parametrize("items", ["ab", b"ab", 5, None, ["ab"], [("a",)], [("a", ADA, 1)], {"a"}])
def test_step_22_no_items(cache: DiskBackedCache[User], items: Any) -> None:
    with pytest.raises(TypeError, match="items must be"):
        cache.put_many(items)
    assert cache.get_count() == 0


def test_step_24_delete_many(cache: DiskBackedCache[User]) -> None:
    cache.put_many({"a": ADA, "b": BOB, "c": ADA})
    assert cache.delete_many(["a", "missing", "c"]) == 2
    assert cache.get_many(["a", "b", "c"]) == {"b": BOB}
    assert cache.delete_many([]) == 0
    assert cache.delete_many(["b", "b"]) == 1
    assert cache.get_count() == 0
    assert cache.get_stats().current_memory_items == 0


def test_step_24_delete_many_is_atomic(cache: DiskBackedCache[User]) -> None:
    cache.put("a", ADA)
    with pytest.raises(ValueError):
        cache.delete_many(["a", ""])
    assert cache.get("a") is ADA
    assert cache.get_stats().total_deletes == 0


def test_batches_of_keys_beyond_ascii(cache: DiskBackedCache[User]) -> None:
    keys = ["a", "ü" * 256, "𝄞", "z" * 256]
    cache.put_many(dict.fromkeys(keys, ADA))
    assert list(cache.get_many(keys)) == keys
    cache.clear_memory()
    assert list(cache.get_many(reversed(keys))) == keys[::-1]
    assert cache.delete_many(keys) == 4


def test_a_mapping_that_changes_meanwhile_is_stored_in_pairs(open_users: OpenUsers) -> None:
    """Keys and values come from one look at it."""

    class Changing(dict[str, User]):
        def values(self) -> Any:
            return list(super().values())[1:]

    cache = open_users()
    cache.put_many(Changing(a=ADA, b=BOB))
    cache.clear_memory()
    assert cache.get_many(["a", "b"]) == {"a": ADA, "b": BOB}
