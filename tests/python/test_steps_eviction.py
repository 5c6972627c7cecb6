"""Steps 25 to 28 and 39: who is evicted, from which tier, and in which order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from diskbackedcache import DiskBackedCache
from models import Blob, blob

Open = Callable[..., DiskBackedCache[Blob]]

NOW = 100.0


def in_memory(cache: DiskBackedCache[Blob], keys: str) -> str:
    return "".join(key for key in keys if cache.tier(key, timestamp=NOW) == "memory")


def on_disk(cache: DiskBackedCache[Blob], keys: str) -> str:
    return "".join(key for key in keys if cache.exists(key, timestamp=NOW))


def test_step_25_memory_count(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_items=3)
    for i, key in enumerate("abcd"):
        cache.put(key, blob(40), timestamp=float(i))
    assert in_memory(cache, "abcd") == "bcd"
    assert on_disk(cache, "abcd") == "abcd"
    assert cache.get_stats().memory_evictions == 1


def test_step_25_a_get_moves_the_order(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_items=3)
    for i, key in enumerate("abc"):
        cache.put(key, blob(40), timestamp=float(i))
    cache.get("a", timestamp=10.0)
    cache.put("d", blob(40), timestamp=11.0)
    assert in_memory(cache, "abcd") == "acd"


def test_step_25_an_older_timestamp_counts_as_given(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_items=3)
    for key in "abc":
        cache.put(key, blob(40), timestamp=100.0)
    cache.get("c", timestamp=5.0)
    cache.put("d", blob(40), timestamp=100.0)
    assert in_memory(cache, "abcd") == "abd"
    cache.put("e", blob(40), timestamp=1.0)  # is its own victim
    assert in_memory(cache, "abcde") == "abd"
    assert cache.tier("e", timestamp=1.0) == "disk"


def test_step_25_no_memory_tier(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_items=0)
    value = blob(40)
    cache.put("a", value)
    cache.put_many({"b": value})
    assert cache.tier("a") == "disk"
    again = cache.get("a")
    assert again == value
    assert again is not value
    assert cache.get_many(["a", "b"]) == {"a": value, "b": value}
    stats = cache.get_stats()
    assert (stats.memory_hits, stats.disk_hits) == (0, 3)
    assert (stats.current_memory_items, stats.memory_bytes, stats.memory_evictions) == (0, 0, 0)
    cache.clear_memory()
    assert cache.delete("a")
    cache.clear()
    assert cache.get("b") is None


def test_step_26_memory_size(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_size_bytes=300)
    cache.put("a", blob(100), timestamp=1.0)
    cache.put("b", blob(100), timestamp=2.0)
    cache.put("c", blob(100), timestamp=3.0)
    assert in_memory(cache, "abc") == "abc"
    cache.put("d", blob(150), timestamp=4.0)
    assert in_memory(cache, "abcd") == "cd"
    assert cache.get_stats().memory_evictions == 2
    assert cache.get_stats().memory_bytes == 250


def test_step_26_overwriting_with_a_larger_value(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_size_bytes=300)
    cache.put("a", blob(100), timestamp=1.0)
    cache.put("b", blob(100), timestamp=2.0)
    cache.put("b", blob(250), timestamp=3.0)
    assert in_memory(cache, "ab") == "b"


def test_step_27_disk_count(open_blobs: Open) -> None:
    cache = open_blobs(max_disk_items=3)
    for i, key in enumerate("abcd"):
        cache.put(key, blob(40), timestamp=float(i))
    assert on_disk(cache, "abcd") == "bcd"
    assert cache.get("a", timestamp=NOW) is None
    assert cache.get_stats().disk_evictions == 1


def test_step_27_hits_in_memory_count_on_disk_too(open_blobs: Open) -> None:
    cache = open_blobs(max_disk_items=3)
    for i, key in enumerate("abc"):
        cache.put(key, blob(40), timestamp=float(i))
    cache.get("a", timestamp=10.0)
    cache.put("d", blob(40), timestamp=11.0)
    assert on_disk(cache, "abcd") == "acd"


def test_step_27_limits_are_enforced_on_open(open_blobs: Open) -> None:
    cache = open_blobs()
    for i, key in enumerate("abcde"):
        cache.put(key, blob(40), timestamp=float(i))
    cache.get("a", timestamp=10.0)
    cache.close()
    cache = open_blobs(max_disk_items=2)
    assert on_disk(cache, "abcde") == "ae"
    assert cache.get_count() == 2


def test_step_28_disk_size(open_blobs: Open) -> None:
    cache = open_blobs(max_disk_size_bytes=300)
    for i, key in enumerate("abc"):
        cache.put(key, blob(100), timestamp=float(i))
    cache.put("d", blob(150), timestamp=4.0)
    assert on_disk(cache, "abcd") == "cd"
    assert cache.get_total_size() == 250
    assert cache.get_stats().disk_evictions == 2


def test_step_28_a_value_larger_than_the_disk(open_blobs: Open) -> None:
    cache = open_blobs(max_disk_size_bytes=100)
    small = blob(50)
    cache.put("k", small)
    with pytest.raises(ValueError) as caught:
        cache.put("k", blob(250))
    assert str(caught.value) == "Item size (250 bytes) exceeds max_disk_size_bytes (100 bytes)"
    assert cache.get("k") is small
    cache.put("k", blob(100))
    assert cache.get_total_size() == 100


def test_step_39_ties_go_by_key(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_items=3, max_disk_items=4)
    for key in "dbeac":
        cache.put(key, blob(40), timestamp=1.0)
    assert on_disk(cache, "abcde") == "bcde"
    assert in_memory(cache, "abcde") == "cde"


def test_step_39_ties_go_by_code_point(open_blobs: Open) -> None:
    keys = ["B", "a", "z", "é", "\uffff", "\U00010000"]  # UTF-16 would swap the last two
    cache = open_blobs(max_disk_items=len(keys))
    for key in reversed(keys):
        cache.put(key, blob(40), timestamp=1.0)
    for i, victim in enumerate(keys):
        cache.put(f"\U0010ffff{i}", blob(40), timestamp=1.0)
        assert not cache.exists(victim, timestamp=1.0)
        assert all(cache.exists(key, timestamp=1.0) for key in keys[i + 1 :])
